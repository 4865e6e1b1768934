//! The filter alone.

use super::*;
