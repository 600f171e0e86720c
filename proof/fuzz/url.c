/*
** url: what somebody gives us as a URL. What is let through is what libcurl will ask, has no byte in
** it that could become a second header, and leads where akl_url_check says: the reach of its host is
** held against the C library's own reading of it.
*/
#include <arpa/inet.h> /* ntohl */
#include <curl/curl.h>
#include <netdb.h>      /* getaddrinfo */
#include <netinet/in.h> /* struct sockaddr_in */
#include <stdlib.h>     /* free */
#include <string.h>     /* strlen */

#include "harness.h"
#include "url.h"

/* {====== What a checked URL is ====== */

static void check_host(const char *host) {
  size_t size = strlen(host);
  fuzz_must(size > 0 && size < 256, "a host has a name");
  for (size_t i = 0; i < size; i++)
    fuzz_must(strchr("/?#@\\[] \t\r\n", host[i]) == NULL && (unsigned char)host[i] > 0x20 &&
                  !(host[i] >= 'A' && host[i] <= 'Z'),
              "a host is a name or an address, in lower case: \"%s\"", host);
}

/* libcurl, asked for the parts of the URL, has to see the same. */
static void check_parts(const char *url, const struct akl_url *u) {
  char *scheme = NULL, *host = NULL, *user = NULL;
  CURLU *parsed = curl_url();
  fuzz_must(parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK,
            "libcurl takes what we let through");
  (void)curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
  (void)curl_url_get(parsed, CURLUPART_HOST, &host, 0);
  (void)curl_url_get(parsed, CURLUPART_USER, &user, 0);
  fuzz_must(scheme != NULL && strcmp(scheme, u->https ? "https" : "http") == 0,
            "the scheme is the one that libcurl sees");
  fuzz_must(user == NULL, "there are no credentials in a URL");
  bool bracketed = host != NULL && host[0] == '[';
  const char *ends = bracketed ? "]%" : ""; /* a zone stands before the bracket, and only there */
  fuzz_must(host != NULL && strncasecmp(host + bracketed, u->host, strlen(u->host)) == 0 &&
                strchr(ends, host[bracketed + strlen(u->host)]) != NULL,
            "the host is the one that libcurl sees");
  curl_free(scheme);
  curl_free(host);
  curl_free(user);
  curl_url_cleanup(parsed);
}

/* The networks of RFC 6890 that no public name should lead to, written down once more. */
static bool is_reserved(uint32_t a) {
  static const struct {
    uint32_t net;
    int bits;
  } nets[] = {{0x00000000, 8},  {0x0A000000, 8},  {0x64400000, 10}, {0x7F000000, 8},
              {0xA9FE0000, 16}, {0xAC100000, 12}, {0xC0A80000, 16}, {0xC6120000, 15},
              {0xC0000000, 24}, {0xE0000000, 3}};
  for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++)
    if ((a ^ nets[i].net) >> (32 - nets[i].bits) == 0)
      return true;
  return false;
}

static bool is_reserved_v6(const unsigned char b[16]) {
  static const unsigned char zero[10];
  uint32_t last = (uint32_t)b[12] << 24 | (uint32_t)b[13] << 16 | (uint32_t)b[14] << 8 | b[15];
  if (memcmp(b, zero, 10) == 0 && ((b[10] == 0xff && b[11] == 0xff) || (b[10] | b[11]) == 0))
    return is_reserved(last); /* which holds :: and ::1, as 0.0.0.0 and 0.0.0.1 */
  return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && b[1] >= 0x80) || b[0] == 0xff;
}

/* A host that the C library reads as an address is not taken for a name. */
static void check_reach(const struct akl_url *u) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
  struct addrinfo *found = NULL;
  if (getaddrinfo(u->host, NULL, &hints, &found) != 0)
    return;
  bool reserved;
  if (found->ai_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)found->ai_addr;
    reserved = is_reserved(ntohl(v4->sin_addr.s_addr));
  } else {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)found->ai_addr;
    reserved = is_reserved_v6(v6->sin6_addr.s6_addr);
  }
  fuzz_must(!reserved || u->reach != AKL_PUBLIC, "%s does not count as public", u->host);
  fuzz_must(!reserved || akl_address_reach(found->ai_addr) != AKL_PUBLIC,
            "the address of %s does not count as public", u->host);
  freeaddrinfo(found);
}

/* ============================================================ } */

/* What events and messages show of a URL. */
static void check_display(const char *url, size_t room) {
  char *shown = malloc(room);
  fuzz_must(shown != NULL, "memory suffices");
  akl_url_display(url, shown, room);
  size_t size = strnlen(shown, room);
  fuzz_must(size < room && size <= strlen(url), "what is shown ends");
  for (size_t i = 0; i < size; i++)
    fuzz_must((unsigned char)shown[i] >= 0x20 && shown[i] != 0x7f && shown[i] != '#',
              "what is shown has neither control characters nor a fragment");
  fuzz_must(memchr(url, '?', size) == NULL, "what is shown has no query");
  free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct akl_url u;
  memset(&u, 0xAA, sizeof u);
  char *url = fuzz_copy(bytes, size); /* as Lua gives it: terminated, with any bytes inside */
  const char *wrong = akl_url_check(url, size, &u);
  fuzz_must((akl_url_check(url, size, NULL) == NULL) == (wrong == NULL),
            "a check is the same without a place for what it finds");
  if (wrong == NULL) {
    fuzz_must(strlen(url) == size && size <= AKL_URL_MAX, "a URL is text of bounded length");
    for (size_t i = 0; i < size; i++)
      fuzz_must((unsigned char)url[i] > 0x20 && url[i] != 0x7f, "a URL has no control characters");
    check_host(u.host);
    check_parts(url, &u);
    check_reach(&u);
  } else {
    fuzz_must(strlen(wrong) > 0, "what is wrong is said");
  }
  (void)akl_numeric_reach(url);
  check_display(url, 1 + size % 80);
  free(url);
  return 0;
}
