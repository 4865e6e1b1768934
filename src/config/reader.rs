//! Reads settings into their fields and collects every mistake on the way, with the place of each.

use super::file::{self, Contents, Unreadable, WatchedFile};
use super::key::Section;
use super::layers::Settings;
use super::mistake::{Mistake, Mistakes, Problem, Warning};
use crate::shown::Shown;
use std::fmt::Display;
use std::path::Path;

/// What came of reading some files, and which files these were.
#[derive(Debug)]
pub struct Reading<T> {
    /// Their contents, or every mistake in them.
    pub outcome: Result<(T, Vec<Warning>), Mistakes>,
    /// In no order.
    pub watched: Vec<WatchedFile>,
}

impl<T> Reading<T> {
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Reading<U> {
        let outcome = self.outcome;
        Reading {
            outcome: outcome.map(|(contents, warnings)| (convert(contents), warnings)),
            watched: self.watched,
        }
    }

    /// Converts the contents. An error becomes a mistake at `place`.
    pub fn and_then<U, E: Display>(
        self,
        place: &str,
        convert: impl FnOnce(T) -> Result<U, E>,
    ) -> Reading<U> {
        let outcome = self.outcome.and_then(|(contents, warnings)| {
            let converted = convert(contents).map_err(|error| {
                let problem = Problem::new(error.to_string(), "");
                Mistakes(vec![Mistake::new(place, "", problem)])
            });
            Ok((converted?, warnings))
        });
        Reading {
            outcome,
            watched: self.watched,
        }
    }
}

/// The settings, and what has been found wrong so far.
pub(super) struct Reader {
    /// The name of the configuration file.
    file: String,
    settings: Settings,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    watched: Vec<WatchedFile>,
}

impl Reader {
    pub(super) fn new(
        file: String,
        settings: Settings,
        mistakes: Vec<Mistake>,
        warnings: Vec<Warning>,
    ) -> Self {
        Reader {
            file,
            settings,
            mistakes,
            warnings,
            watched: Vec::new(),
        }
    }

    /// Another reader of the same settings, without mistakes and warnings.
    pub(super) fn again(&self) -> Reader {
        let (file, settings) = (self.file.clone(), self.settings.clone());
        Reader::new(file, settings, Vec::new(), Vec::new())
    }

    /// Reads the keys of a section that are set. A wrong value is a mistake, and its field keeps the default.
    pub(super) fn read<V>(&mut self, section: &Section<V>, values: &mut V) {
        for key in &section.keys {
            let Some(setting) = self.settings.get_mut(key.name) else {
                continue;
            };
            if let Err(problem) = key.read(&setting.value, values) {
                setting.is_wrong = true;
                let place = setting.place.clone();
                self.mistakes.push(Mistake::new(place, key.name, problem));
            }
        }
    }

    pub(super) fn is_set(&self, key: &str) -> bool {
        self.settings.contains_key(key)
    }

    /// Whether the key has a wrong value, which was reported.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.settings
            .get(key)
            .is_some_and(|setting| setting.is_wrong)
    }

    /// Where a key is set; the file as a whole if it is not.
    fn place(&self, key: &str) -> String {
        let setting = self.settings.get(key);
        setting.map_or(&self.file, |setting| &setting.place).clone()
    }

    /// The configuration file, if that is where a key is set.
    pub(super) fn file_with(&self, key: &str) -> Option<&Path> {
        let place = &self.settings.get(key)?.place;
        let line = place.strip_prefix(self.file.as_str())?;
        line.starts_with(':').then(|| Path::new(&self.file))
    }

    /// Reports a mistake in the value of a key.
    pub(super) fn mistake(
        &mut self,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let place = self.place(key);
        self.mistake_at(place, key, found, expected);
    }

    /// Reports a mistake in another file.
    pub(super) fn mistake_at(
        &mut self,
        place: String,
        key: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let problem = Problem::new(found, expected);
        self.mistakes.push(Mistake::new(place, key, problem));
    }

    pub(super) fn warn(&mut self, key: &str, message: impl Into<String>) {
        let place = self.place(key);
        self.warn_at(place, key, message);
    }

    pub(super) fn warn_at(&mut self, place: String, key: &str, message: impl Into<String>) {
        self.warnings.push(Warning {
            place,
            key: key.to_owned(),
            message: message.into(),
        });
    }

    /// The mistakes so far, for the readers of other files.
    pub(super) fn mistakes(&mut self) -> &mut Vec<Mistake> {
        &mut self.mistakes
    }

    /// Reads a file that a key names.
    pub(super) fn file(&mut self, path: &Path, most: u64) -> Result<Contents, Unreadable> {
        file::read(path, most, &mut self.watched)
    }

    /// Reads a file that a key names; one that can't be read is a mistake.
    pub(super) fn contents(
        &mut self,
        key: &str,
        path: &Path,
        most: u64,
        expected: &str,
    ) -> Option<Contents> {
        let contents = self.file(path, most).map_err(|reason| {
            let found = format!("{} can't be read: {reason}", Shown::path(path));
            self.mistake(key, found, expected);
        });
        contents.ok()
    }

    /// Adds files that others have read.
    pub(super) fn watch(&mut self, files: Vec<WatchedFile>) {
        self.watched.extend(files);
    }

    /// The reading that ends here: `contents`, unless there were mistakes.
    pub(super) fn reading<T>(mut self, contents: Option<T>) -> Reading<T> {
        let watched = std::mem::take(&mut self.watched);
        let outcome = match (contents, self.finish()) {
            (Some(contents), (mistakes, warnings)) if mistakes.is_empty() => {
                Ok((contents, warnings))
            }
            (_, (mistakes, _)) => Err(Mistakes(mistakes)),
        };
        Reading { outcome, watched }
    }

    /// Adds the mistakes and warnings of a reading. Returns its contents and its files.
    pub(super) fn take<T>(&mut self, reading: Reading<T>) -> (Option<T>, Vec<WatchedFile>) {
        let contents = match reading.outcome {
            Ok((contents, mut warnings)) => {
                self.warnings.append(&mut warnings);
                Some(contents)
            }
            Err(Mistakes(mut mistakes)) => {
                self.mistakes.append(&mut mistakes);
                None
            }
        };
        (contents, reading.watched)
    }

    /// The mistakes and warnings. Mistakes are sorted by file, in the order in which files were read, and by line.
    pub(super) fn finish(mut self) -> (Vec<Mistake>, Vec<Warning>) {
        let mut files: Vec<String> = Vec::new();
        for mistake in &self.mistakes {
            let file = mistake
                .line()
                .map_or(mistake.place.as_str(), |(file, _)| file);
            if !files.iter().any(|other| other == file) {
                files.push(file.to_owned());
            }
        }
        self.mistakes.sort_by_key(|mistake| {
            let (file, line) = mistake.line().unwrap_or((&mistake.place, 0));
            (files.iter().position(|other| other == file), line)
        });
        (self.mistakes, self.warnings)
    }
}
