/* wolfSSL. */
#include <wolfssl/options.h>

#include "pipe.h"

#include <stdio.h>
#include <time.h>
#include <wolfssl/ssl.h>
#include <wolfssl/version.h>

static const struct options *options;
static WOLFSSL_CTX *context;
static WOLFSSL *ssl;
static WOLFSSL_SESSION *session;
static int descriptor;

static void must(int result, const char *what)
{
    if (result != WOLFSSL_SUCCESS)
        give_up(what, result);
}

void client_init(const struct options *given)
{
    options = given;
    wolfSSL_Init();
    context = wolfSSL_CTX_new(wolfDTLSv1_2_client_method());
    if (!context)
        give_up("context", 0);
    must(wolfSSL_CTX_load_verify_locations(context, options->authorities, NULL), options->authorities);
    must(wolfSSL_CTX_use_certificate_chain_file(context, options->certificate), options->certificate);
    must(wolfSSL_CTX_use_PrivateKey_file(context, options->key, WOLFSSL_FILETYPE_PEM), options->key);
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    if (options->suite)
        must(wolfSSL_CTX_set_cipher_list(context, options->suite), options->suite);
    if (options->max_fragment_length) {
        unsigned char code = WOLFSSL_MFL_2_9;
        for (int length = 512; length < options->max_fragment_length; length *= 2)
            code++;
        must(wolfSSL_CTX_UseMaxFragment(context, code), "mfl");
    }
    if (options->no_extended_master_secret)
        must(wolfSSL_CTX_DisableExtendedMasterSecret(context), "ems");
    if (options->tickets)
        must(wolfSSL_CTX_UseSessionTicket(context), "tickets");
    if (options->connection_id || options->mtu)
        give_up("this build has no connection IDs and no MTU", 0);
}

/* A connection that has sent nothing. */
static void begin(int resume)
{
    if (ssl)
        wolfSSL_free(ssl);
    ssl = wolfSSL_new(context);
    if (!ssl)
        give_up("connection", 0);
    must(wolfSSL_set_fd(ssl, descriptor), "socket");
    wolfSSL_dtls_set_using_nonblock(ssl, 1);
    /* It fails if the session has no id. */
    if (resume && session)
        wolfSSL_set_session(ssl, session);
}

int client_connect(int socket, int resume, char *text, size_t size)
{
    int result;
    time_t start = time(NULL);
    descriptor = socket;
    begin(resume);
    while ((result = wolfSSL_connect(ssl)) != WOLFSSL_SUCCESS) {
        int error = wolfSSL_get_error(ssl, result);
        if (error != WOLFSSL_ERROR_WANT_READ || time(NULL) - start > 60) {
            snprintf(text, size, "%s", wolfSSL_ERR_reason_error_string((unsigned long) error));
            return -1;
        }
        /* It does not repeat its first hello: that takes a new connection. */
        if (!wait_readable(socket, wolfSSL_dtls_get_current_timeout(ssl) * 1000)
            && wolfSSL_dtls_got_timeout(ssl) != WOLFSSL_SUCCESS)
            begin(resume);
    }
    if (session)
        wolfSSL_SESSION_free(session);
    session = wolfSSL_get1_session(ssl);
    snprintf(text, size, "%s with wolfSSL %s, %s, up to %d bytes", wolfSSL_get_cipher_name(ssl), wolfSSL_lib_version(),
             wolfSSL_session_reused(ssl) ? "resumed" : "new", wolfSSL_GetMaxOutputSize(ssl));
    return 0;
}

int client_send(const unsigned char *data, size_t length)
{
    return wolfSSL_write(ssl, data, (int) length) == (int) length ? 0 : -1;
}

int client_receive(unsigned char *data, size_t size)
{
    int length = wolfSSL_read(ssl, data, (int) size);
    if (length > 0)
        return length;
    return wolfSSL_get_error(ssl, length) == WOLFSSL_ERROR_WANT_READ ? 0 : -1;
}

int client_move(int socket)
{
    descriptor = socket;
    return wolfSSL_set_fd(ssl, socket) == WOLFSSL_SUCCESS ? 0 : -1;
}

void client_close(void)
{
    wolfSSL_shutdown(ssl);
}
