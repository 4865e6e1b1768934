/* A DTLS client that a test drives by lines: what each library implements, and what `pipe.c` offers it. */
#ifndef PIPE_H
#define PIPE_H

#include <stddef.h>

/* What the command line says. Absent: NULL or 0. */
struct options {
    const char *authorities, *certificate, *key; /* PEM files */
    const char *suite;                           /* in the library's own words */
    const char *connection_id;                   /* hexadecimal; empty: one of no length */
    int max_fragment_length;
    int mtu;
    int no_extended_master_secret;
    int tickets;
};

/* Reads files. Exits if it can't. */
void client_init(const struct options *options);
/* A handshake over this connected, non-blocking socket; `resume`: of the session before. What was agreed on goes into `text`,
   or why it failed. Returns 0 if it is complete. */
int client_connect(int socket, int resume, char *text, size_t size);
/* Sends application data. Returns 0 if it was sent. */
int client_send(const unsigned char *data, size_t length);
/* Returns the length of received application data, 0 if there is none, and -1 if the session has ended. */
int client_receive(unsigned char *data, size_t size);
/* Goes on over another socket, without a handshake. Returns 0 if the library can. */
int client_move(int socket);
/* Sends close_notify. */
void client_close(void);

/* Waits until the socket can be read, or for `milliseconds`. Returns whether it can be read. */
int wait_readable(int socket, int milliseconds);
/* Reads hexadecimal digits. Returns the number of bytes, or -1. */
int from_hex(const char *text, unsigned char *bytes, size_t size);
/* Prints an error to standard error, and exits. */
void give_up(const char *what, int error);

#endif
