/* Mbed TLS, with connection IDs of RFC 9146. */
#include "pipe.h"

#include <errno.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/timing.h>
#include <mbedtls/version.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const struct options *options;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context drbg;
static mbedtls_x509_crt authorities, certificate;
static mbedtls_pk_context key;
static mbedtls_ssl_config config;
static mbedtls_ssl_context ssl;
static mbedtls_ssl_session session;
static mbedtls_timing_delay_context timer;
static int descriptor, is_connected, has_session, was_verified;

static int send_datagram(void *context, const unsigned char *data, size_t length)
{
    ssize_t sent = send(descriptor, data, length, 0);
    (void) context;
    return sent < 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : (int) sent;
}

static int receive_datagram(void *context, unsigned char *data, size_t size)
{
    ssize_t length = recv(descriptor, data, size, 0);
    (void) context;
    return length < 0 ? MBEDTLS_ERR_SSL_WANT_READ : (int) length;
}

/* Is called when there is a Certificate, which a handshake that resumes does not have. */
static int verify(void *context, mbedtls_x509_crt *one, int depth, uint32_t *flags)
{
    (void) context, (void) one, (void) depth, (void) flags;
    was_verified = 1;
    return 0;
}

static void must(int result, const char *what)
{
    if (result != 0)
        give_up(what, result);
}

void client_init(const struct options *given)
{
    static int suites[2];
    options = given;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
    mbedtls_x509_crt_init(&authorities);
    mbedtls_x509_crt_init(&certificate);
    mbedtls_pk_init(&key);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_session_init(&session);
    must(mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0), "random numbers");
    must(mbedtls_x509_crt_parse_file(&authorities, options->authorities), options->authorities);
    must(mbedtls_x509_crt_parse_file(&certificate, options->certificate), options->certificate);
    must(mbedtls_pk_parse_keyfile(&key, options->key, NULL, mbedtls_ctr_drbg_random, &drbg), options->key);
    must(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_DATAGRAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT), "defaults");
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &drbg);
    mbedtls_ssl_conf_ca_chain(&config, &authorities, NULL);
    mbedtls_ssl_conf_verify(&config, verify, NULL);
    mbedtls_ssl_conf_session_tickets(&config, options->tickets);
    must(mbedtls_ssl_conf_own_cert(&config, &certificate, &key), "certificate and key");
    if (options->suite) {
        suites[0] = mbedtls_ssl_get_ciphersuite_id(options->suite);
        if (suites[0] == 0)
            give_up(options->suite, 0);
        mbedtls_ssl_conf_ciphersuites(&config, suites);
    }
    if (options->connection_id)
        must(mbedtls_ssl_conf_cid(&config, strlen(options->connection_id) / 2, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE), "cid");
    if (options->max_fragment_length) {
        unsigned char code = MBEDTLS_SSL_MAX_FRAG_LEN_512;
        for (int length = 512; length < options->max_fragment_length; length *= 2)
            code++;
        must(mbedtls_ssl_conf_max_frag_len(&config, code), "mfl");
    }
    if (options->no_extended_master_secret)
        mbedtls_ssl_conf_extended_master_secret(&config, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
}

static int handshake(void)
{
    int result = mbedtls_ssl_setup(&ssl, &config);
    if (result != 0)
        return result;
    mbedtls_ssl_set_timer_cb(&ssl, &timer, mbedtls_timing_set_delay, mbedtls_timing_get_delay);
    mbedtls_ssl_set_bio(&ssl, NULL, send_datagram, receive_datagram, NULL);
    if (options->mtu)
        mbedtls_ssl_set_mtu(&ssl, (uint16_t) options->mtu);
    if (options->connection_id) {
        unsigned char id[32];
        int length = from_hex(options->connection_id, id, sizeof id);
        if (length < 0 || (result = mbedtls_ssl_set_cid(&ssl, MBEDTLS_SSL_CID_ENABLED, id, (size_t) length)) != 0)
            return result;
    }
    if (has_session && (result = mbedtls_ssl_set_session(&ssl, &session)) != 0)
        return result;
    if ((result = mbedtls_ssl_set_hostname(&ssl, "localhost")) != 0)
        return result;
    /* A minute at the most. */
    for (int tries = 0; tries < 600; tries++) {
        result = mbedtls_ssl_handshake(&ssl);
        if (result != MBEDTLS_ERR_SSL_WANT_READ && result != MBEDTLS_ERR_SSL_WANT_WRITE)
            return result;
        wait_readable(descriptor, 100);
    }
    return result;
}

int client_connect(int socket, int resume, char *text, size_t size)
{
    unsigned char peer_id[MBEDTLS_SSL_CID_OUT_LEN_MAX];
    size_t id_length = 0;
    int id_enabled = 0;
    descriptor = socket;
    if (has_session && !resume) {
        mbedtls_ssl_session_free(&session);
        has_session = 0;
    }
    if (is_connected)
        mbedtls_ssl_free(&ssl);
    mbedtls_ssl_init(&ssl);
    was_verified = 0;
    int result = handshake();
    if (result != 0) {
        mbedtls_strerror(result, text, size);
        return -1;
    }
    is_connected = 1;
    mbedtls_ssl_session_free(&session);
    mbedtls_ssl_session_init(&session);
    must(mbedtls_ssl_get_session(&ssl, &session), "session");
    has_session = 1;
    mbedtls_ssl_get_peer_cid(&ssl, &id_enabled, peer_id, &id_length);
    snprintf(text, size, "%s with Mbed TLS %s, %s, connection ID %s of %zu bytes, up to %d bytes", mbedtls_ssl_get_ciphersuite(&ssl),
             MBEDTLS_VERSION_STRING, was_verified ? "new" : "resumed", id_enabled ? "on" : "off", id_length,
             mbedtls_ssl_get_max_out_record_payload(&ssl));
    return 0;
}

int client_send(const unsigned char *data, size_t length)
{
    int result = mbedtls_ssl_write(&ssl, data, length);
    return result == (int) length ? 0 : -1;
}

int client_receive(unsigned char *data, size_t size)
{
    int result = mbedtls_ssl_read(&ssl, data, size);
    if (result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return 0;
    return result > 0 ? result : -1;
}

int client_move(int socket)
{
    descriptor = socket;
    return 0;
}

void client_close(void)
{
    mbedtls_ssl_close_notify(&ssl);
}
