/* transfer, its end: what went wrong with an exchange, told apart as finely as libcurl allows. */
#include <openssl/x509_vfy.h> /* X509_V_ERR_CERT_HAS_EXPIRED */
#include <string.h>           /* strstr */

#include "transfer.h"

/* libcurl's own words, or the name of its error. Words with an "@" in them may quote the proxy's URL
** with its password, so they are not repeated. */
static const char *words(const struct akl_transfer *t) {
  bool usable = t->words[0] != '\0' && strchr(t->words, '@') == NULL;
  return usable ? t->words : curl_easy_strerror(t->result);
}

static bool has_time(const struct akl_transfer *t, CURLINFO which) {
  curl_off_t at = 0;
  return curl_easy_getinfo(t->easy, which, &at) == CURLE_OK && at > 0;
}

/* How long the exchange took, in seconds. */
static double took(const struct akl_transfer *t) {
  return (double)(*t->clock - t->started) / (double)AKL_SECOND;
}

/* Time ran out: in which phase? */
static void timed_out(const struct akl_transfer *t, const char *what, struct akl_error *e) {
  if (t->stalled)
    akl_error_set(e, AKL_CAUSE_TIMEOUT_STALL, "While %s, next to nothing came for %.3g s.", what,
                  (double)t->settings->stall_timeout / (double)AKL_SECOND);
  else if (has_time(t, CURLINFO_PRETRANSFER_TIME_T) || t->body_taken > 0)
    akl_error_set(e, AKL_CAUSE_TIMEOUT_ANSWER, "While %s, the answer %s within %.3g s.", what,
                  t->header_bytes > 0 ? "began but did not end" : "did not come", took(t));
  else if (akl_poller_was_up(t->poller, t->fd))
    akl_error_set(e, AKL_CAUSE_TIMEOUT_TLS, "While %s, the TLS handshake took longer than %.3g s.",
                  what, took(t));
  else if (t->fd >= 0)
    akl_error_set(e, AKL_CAUSE_TIMEOUT_CONNECT, "While %s, no connection came up within %.3g s.",
                  what, took(t));
  else
    akl_error_set(e, AKL_CAUSE_TIMEOUT_RESOLVE,
                  "While %s, the host's address was not found within %.3g s.", what, took(t));
}

/* The certificate was refused: why? */
static void untrusted(const struct akl_transfer *t, const char *what, struct akl_error *e) {
  long verdict = 0;
  (void)curl_easy_getinfo(t->easy, CURLINFO_SSL_VERIFYRESULT, &verdict);
  if (verdict == X509_V_ERR_CERT_HAS_EXPIRED || verdict == X509_V_ERR_CERT_NOT_YET_VALID)
    akl_error_set(e, AKL_CAUSE_TLS_EXPIRED, "While %s, the server's certificate was %s.", what,
                  verdict == X509_V_ERR_CERT_HAS_EXPIRED ? "out of date" : "not valid yet");
  else if (verdict == X509_V_OK || verdict == X509_V_ERR_UNSPECIFIED /* where libcurl starts */
           || verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
    akl_error_set(e, AKL_CAUSE_TLS_WRONG_HOST,
                  "While %s, the server's certificate was for another host.", what);
  else
    akl_error_set(e, AKL_CAUSE_TLS_UNKNOWN_ISSUER,
                  "While %s, the server's certificate came from an issuer that is not trusted.",
                  what);
}

/* Did the exchange end at a redirect that libcurl would not follow? */
static bool cannot_follow(const struct akl_transfer *t) {
  bool unwilling = t->result == CURLE_URL_MALFORMAT || t->result == CURLE_TOO_MANY_REDIRECTS ||
                   t->result == CURLE_UNSUPPORTED_PROTOCOL;
  return unwilling && t->status >= 300 && t->status < 400;
}

/* libcurl has one code for a handshake that the server refused and for one whose connection broke.
** These words tell the second: the socket's, those where OpenSSL had nothing to complain about, and
** OpenSSL's own (from version 3 on) about an end between two messages. */
static bool broke_during_handshake(const struct akl_transfer *t) {
  static const char *const signs[] = {
      "Recv failure:", "Send failure:", " SSL_connect: ", "unexpected eof"};
  for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
    if (strstr(t->words, signs[i]) != NULL)
      return true;
  return false;
}

/* The TLS handshake did not end well. */
static void handshake_failed(const struct akl_transfer *t, const char *what, struct akl_error *e) {
  if (broke_during_handshake(t))
    akl_error_set(e, AKL_CAUSE_CONNECTION_LOST,
                  "While %s, the connection broke during the TLS handshake (%s).", what, words(t));
  else
    akl_error_set(e, AKL_CAUSE_TLS_HANDSHAKE, "While %s, the TLS handshake failed (%s).", what,
                  words(t));
}

/* The exchange ended with an error of libcurl's. */
static void explain(const struct akl_transfer *t, const char *what, struct akl_error *e) {
  switch (t->result) {
  case CURLE_OUT_OF_MEMORY:
    akl_error_set(e, AKL_CAUSE_OUT_OF_MEMORY, "While %s, memory ran out.", what);
    break;
  case CURLE_OPERATION_TIMEDOUT:
    timed_out(t, what, e);
    break;
  case CURLE_COULDNT_RESOLVE_HOST:
    akl_error_set(e, AKL_CAUSE_RESOLVE, "While %s, the host was not found (%s).", what, words(t));
    break;
  case CURLE_COULDNT_CONNECT:
    akl_error_set(e, AKL_CAUSE_CONNECT, "While %s, the connection failed (%s).", what, words(t));
    break;
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_PROXY:
    akl_error_set(e, AKL_CAUSE_PROXY, "While %s, the proxy failed (%s).", what, words(t));
    break;
  case CURLE_PEER_FAILED_VERIFICATION:
    untrusted(t, what, e);
    break;
  case CURLE_SSL_CACERT_BADFILE:
    akl_error_set(e, AKL_CAUSE_TLS_CA_FILE, "While %s, the CA file could not be read.", what);
    break;
  case CURLE_SSL_CONNECT_ERROR:
    handshake_failed(t, what, e);
    break;
  case CURLE_PARTIAL_FILE:
  case CURLE_HTTP2_STREAM:
  case CURLE_WEIRD_SERVER_REPLY:
    akl_error_set(e, AKL_CAUSE_CUT_SHORT, "While %s, the answer was cut short (%s).", what,
                  words(t));
    break;
  case CURLE_GOT_NOTHING:
  case CURLE_SEND_ERROR:
  case CURLE_RECV_ERROR:
  case CURLE_SEND_FAIL_REWIND: /* libcurl wanted to send the body again and was not let */
    akl_error_set(e, AKL_CAUSE_CONNECTION_LOST,
                  "While %s, the connection broke before an answer came (%s).", what, words(t));
    break;
  case CURLE_UNSUPPORTED_PROTOCOL:
    akl_error_set(e, AKL_CAUSE_NETWORK_OTHER, "While %s, what came was not HTTP (%s).", what,
                  words(t));
    break;
  default:
    akl_error_set(e, AKL_CAUSE_NETWORK_OTHER, "While %s, the exchange failed (%s).", what,
                  words(t));
  }
}

/* libcurl says that all is well: did the headers end, and is the end of the body certain? In
** HTTP/2 the end of the stream frames it. A file says by itself how long it has to be. */
static bool incomplete(const struct akl_transfer *t, const char *what, struct akl_error *e) {
  long version = 0;
  (void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_VERSION, &version);
  if (!t->headers_ended)
    akl_error_set(e, AKL_CAUSE_CUT_SHORT, "While %s, the answer was cut inside its headers.", what);
  else if (t->status == 0)
    akl_error_set(e, AKL_CAUSE_NETWORK_OTHER, "While %s, what came was not HTTP.", what);
  else if (!t->framed && version < CURL_HTTP_VERSION_2_0 && t->status != 204)
    akl_error_set(e, AKL_CAUSE_UNFRAMED, "While %s, the answer did not announce its length.", what);
  else
    return false;
  return true;
}

bool akl_transfer_failed(const struct akl_transfer *t, const char *what, struct akl_error *e) {
  if (t->timed_out)
    timed_out(t, what, e);
  else if (t->file != NULL && t->file->error.kind != AKL_KIND_NONE)
    akl_error_copy(e, &t->file->error);
  else if (t->flooded)
    akl_error_set(e, AKL_CAUSE_TOO_LARGE, "While %s, the answer was larger than allowed.", what);
  else if (t->starved)
    akl_error_set(e, AKL_CAUSE_OUT_OF_MEMORY, "While %s, memory ran out.", what);
  else if (t->misfolded)
    akl_error_set(e, AKL_CAUSE_NETWORK_OTHER,
                  "While %s, an answer came whose first header line continues another.", what);
  else if (t->refused_address)
    akl_error_set(e, AKL_CAUSE_PRIVATE_ADDRESS,
                  "While %s, the host turned out to be at a private address.", what);
  else if (strncmp(t->words, "Unsupported proxy", 17) == 0)
    akl_error_set(e, AKL_CAUSE_PROXY_URL, "While %s, the proxy's URL could not be used.", what);
  else if (cannot_follow(t))
    akl_error_set(e, AKL_CAUSE_REDIRECT, "While %s, a redirect led nowhere (%s).", what, words(t));
  else if (t->result != CURLE_OK)
    explain(t, what, e);
  else if (!incomplete(t, what, e))
    return false;
  /* When the disk or the memory fails a download, the answer to it was fine. */
  if (t->file == NULL || e->kind != AKL_KIND_IO)
    e->http_status = t->status;
  return true;
}

bool akl_transfer_maybe_sent(const struct akl_transfer *t) {
  return t->body_taken > 0;
}
