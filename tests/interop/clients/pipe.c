/* A DTLS client that a test drives by lines on standard input:

     send HEX   application data
     move       the same session from another port, as when a NAT has forgotten the old one
     resume     closes, and connects again with the same session
     close      closes, and exits

   It prints `connected WHAT`, `failed WHY`, `received HEX`, `moved PORT` and `ended`. */
#include "pipe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *address, *port;
static int current = -1;

void give_up(const char *what, int error)
{
    fprintf(stderr, "%s: %d (-0x%04x)\n", what, error, (unsigned) -error);
    exit(2);
}

int wait_readable(int socket, int milliseconds)
{
    struct pollfd one = { socket, POLLIN, 0 };
    return poll(&one, 1, milliseconds) > 0;
}

int from_hex(const char *text, unsigned char *bytes, size_t size)
{
    size_t length = 0;
    unsigned byte;
    for (; text[0] && text[1]; text += 2) {
        if (length == size || sscanf(text, "%2x", &byte) != 1)
            return -1;
        bytes[length++] = (unsigned char) byte;
    }
    return text[0] ? -1 : (int) length;
}

/* A socket with a port of its own. The one before stays open until then, so that the port is another. */
static int new_socket(void)
{
    struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons((unsigned short) atoi(port)) };
    int made = socket(AF_INET, SOCK_DGRAM, 0);
    if (inet_pton(AF_INET, address, &server.sin_addr) != 1
        || connect(made, (struct sockaddr *) &server, sizeof server) != 0
        || fcntl(made, F_SETFL, O_NONBLOCK) != 0)
        give_up("socket", made);
    if (current >= 0)
        close(current);
    return current = made;
}

static int own_port(void)
{
    struct sockaddr_in own;
    socklen_t length = sizeof own;
    getsockname(current, (struct sockaddr *) &own, &length);
    return ntohs(own.sin_port);
}

static void connect_again(int resume)
{
    char text[256] = "";
    int result = client_connect(new_socket(), resume, text, sizeof text);
    printf("%s %s\n", result == 0 ? "connected" : "failed", text);
    if (result != 0)
        exit(1);
}

static void receive_all(void)
{
    static unsigned char data[16384];
    int length;
    while ((length = client_receive(data, sizeof data)) > 0) {
        printf("received ");
        for (int i = 0; i < length; i++)
            printf("%02x", data[i]);
        printf("\n");
    }
    if (length < 0) {
        printf("ended\n");
        exit(0);
    }
}

static void obey(char *line)
{
    static unsigned char data[16384];
    line[strcspn(line, "\r\n")] = 0;
    if (strncmp(line, "send ", 5) == 0) {
        int length = from_hex(line + 5, data, sizeof data);
        if (length < 0 || client_send(data, (size_t) length) != 0)
            printf("failed send\n");
    } else if (strcmp(line, "move") == 0) {
        if (client_move(new_socket()) == 0)
            printf("moved %d\n", own_port());
        else
            printf("failed move\n");
    } else if (strcmp(line, "resume") == 0) {
        client_close();
        connect_again(1);
    } else if (strcmp(line, "close") == 0) {
        client_close();
        exit(0);
    } else {
        printf("failed %s\n", line);
    }
}

static const char *value(const char *argument, const char *name)
{
    size_t length = strlen(name);
    return strncmp(argument, name, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

int main(int count, char **arguments)
{
    static char line[40000];
    struct options options = { 0 };
    if (count < 6)
        give_up("usage: ADDRESS PORT AUTHORITIES CERTIFICATE KEY [suite=… cid=… mfl=… mtu=… ems=off tickets=on]", 0);
    address = arguments[1];
    port = arguments[2];
    options.authorities = arguments[3];
    options.certificate = arguments[4];
    options.key = arguments[5];
    for (int i = 6; i < count; i++) {
        const char *found;
        if ((found = value(arguments[i], "suite")))
            options.suite = found;
        else if ((found = value(arguments[i], "cid")))
            options.connection_id = found;
        else if ((found = value(arguments[i], "mfl")))
            options.max_fragment_length = atoi(found);
        else if ((found = value(arguments[i], "mtu")))
            options.mtu = atoi(found);
        else if (strcmp(arguments[i], "ems=off") == 0)
            options.no_extended_master_secret = 1;
        else if (strcmp(arguments[i], "tickets=on") == 0)
            options.tickets = 1;
        else
            give_up(arguments[i], 0);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    client_init(&options);
    connect_again(0);
    for (;;) {
        struct pollfd both[2] = { { current, POLLIN, 0 }, { STDIN_FILENO, POLLIN, 0 } };
        poll(both, 2, 1000);
        receive_all();
        if (both[1].revents) {
            if (!fgets(line, sizeof line, stdin))
                return 0;
            obey(line);
        }
    }
}
