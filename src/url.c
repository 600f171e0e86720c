/* url: see url.h. Parsing is libcurl's own, so that what we checked is what libcurl will use. */
#include "url.h"

#include <arpa/inet.h>  /* inet_aton, inet_pton */
#include <curl/curl.h>  /* curl_url_set */
#include <netinet/in.h> /* struct sockaddr_in6 */
#include <stdint.h>     /* uint32_t */
#include <stdio.h>      /* snprintf */
#include <string.h>     /* strcmp */

static enum akl_reach reach_of_ipv4(uint32_t a) {
  if (a >> 24 == 127)
    return AKL_LOOPBACK;
  if (a >> 24 == 0 || a >> 24 == 10 || a >> 20 == 0xAC1 || a >> 16 == 0xC0A8 /* RFC 1918 */
      || a >> 22 == 0x191 /* 100.64/10, RFC 6598 */ || a >> 16 == 0xA9FE     /* link-local */
      || a >> 8 == 0xC00000 /* 192.0.0/24 */ || a >> 17 == 0x6309            /* 198.18/15 */
      || a >> 28 >= 14 /* multicast and reserved */)
    return AKL_PRIVATE;
  return AKL_PUBLIC;
}

static uint32_t four_bytes(const unsigned char *b) {
  return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static enum akl_reach reach_of_ipv6(const unsigned char b[16]) {
  static const unsigned char zero[16];
  static const unsigned char nat64[12] = {0, 0x64, 0xff, 0x9b};
  static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:a.b.c.d */
  if (memcmp(b, zero, 15) == 0)
    return b[15] == 1 ? AKL_LOOPBACK : AKL_PRIVATE;
  if (memcmp(b, zero, 12) == 0 || memcmp(b, nat64, 12) == 0 || memcmp(b, mapped, 12) == 0)
    return reach_of_ipv4(four_bytes(b + 12));
  if (b[0] == 0x20 && b[1] == 0x02)
    return reach_of_ipv4(four_bytes(b + 2)); /* 6to4 */
  if ((b[0] & 0xfe) == 0xfc || b[0] >= 0xfe)
    return AKL_PRIVATE; /* fc00::/7, fe80::/10, fec0::/10, ff00::/8 */
  return AKL_PUBLIC;
}

enum akl_reach akl_address_reach(const struct sockaddr *address) {
  if (address->sa_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    return reach_of_ipv4(ntohl(v4->sin_addr.s_addr));
  }
  if (address->sa_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    return reach_of_ipv6(v6->sin6_addr.s6_addr);
  }
  return AKL_PRIVATE;
}

enum akl_reach akl_numeric_reach(const char *address) {
  unsigned char bytes[16];
  if (inet_pton(AF_INET, address, bytes) == 1)
    return reach_of_ipv4(four_bytes(bytes));
  if (inet_pton(AF_INET6, address, bytes) == 1)
    return reach_of_ipv6(bytes);
  return AKL_PRIVATE;
}

/* Reach of a host, which is not empty, as it will be resolved. libcurl makes octal, hex and short IPv4
** forms plain, but not those that were escaped ("127%2e1"), and the resolver understands them all. */
static enum akl_reach reach_of_host(const char *host) {
  unsigned char bytes[16];
  struct in_addr v4;
  size_t size = strlen(host);
  if (inet_aton(host, &v4) != 0)
    return reach_of_ipv4(ntohl(v4.s_addr));
  if (inet_pton(AF_INET6, host, bytes) == 1)
    return reach_of_ipv6(bytes);
  if (host[size - 1] == '.')
    size--;
  if ((size == 9 && memcmp(host, "localhost", 9) == 0) ||
      (size > 10 && memcmp(host + size - 10, ".localhost", 10) == 0))
    return AKL_LOOPBACK;
  return AKL_PUBLIC;
}

/* One part of a parsed URL, or NULL; to be freed with curl_free. */
static char *part(CURLU *parsed, CURLUPart what) {
  char *text = NULL;
  return curl_url_get(parsed, what, &text, 0) == CURLUE_OK ? text : NULL;
}

/* Copy the host in lower case and without the brackets of an IPv6 address or its zone. A "%" in any
** other host is no zone but what is left of an escape, and no name has one. */
static bool copy_host(struct akl_url *out, const char *host) {
  size_t size = strlen(host), n = 0;
  if (size == 0 || size >= sizeof out->host || (host[0] != '[' && strchr(host, '%') != NULL))
    return false;
  for (size_t i = 0; i < size && host[i] != '%'; i++) {
    char c = host[i];
    if (c != '[' && c != ']')
      out->host[n++] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  }
  out->host[n] = '\0';
  return n > 0;
}

static const char *examine(CURLU *parsed, const char *url, struct akl_url *out) {
  CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
  if (code == CURLUE_OUT_OF_MEMORY)
    return "could not be checked, because memory ran out";
  if (code != CURLUE_OK)
    return "is not an absolute URL with a scheme and a host";

  char *scheme = part(parsed, CURLUPART_SCHEME), *host = part(parsed, CURLUPART_HOST);
  char *user = part(parsed, CURLUPART_USER), *password = part(parsed, CURLUPART_PASSWORD);
  const char *wrong = NULL;
  if (scheme == NULL || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
    wrong = "is neither http nor https";
  else if (user != NULL || password != NULL)
    wrong = "has a user name or password in it";
  else if (host == NULL || !copy_host(out, host))
    wrong = "has no usable host name";
  out->https = scheme != NULL && strcmp(scheme, "https") == 0;
  curl_free(scheme);
  curl_free(host);
  curl_free(user);
  curl_free(password);
  if (wrong == NULL)
    out->reach = reach_of_host(out->host);
  return wrong;
}

const char *akl_url_check(const char *url, size_t size, struct akl_url *out) {
  struct akl_url mine;
  if (size == 0)
    return "is empty";
  if (size > AKL_URL_MAX)
    return "is longer than 8192 bytes";
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)url[i];
    if (c < 0x20 || c == 0x7f)
      return "has a control character in it";
    if (c == ' ')
      return "has a space in it; write it as %20";
  }
  /* libcurl would take "https:///x" for a host named x. */
  const char *authority = strstr(url, "://");
  if (authority == NULL || authority[3] == '\0' || strchr("/?#", authority[3]) != NULL)
    return "is not an absolute URL with a scheme and a host";

  CURLU *parsed = curl_url();
  if (parsed == NULL)
    return "could not be checked, because memory ran out";
  const char *wrong = examine(parsed, url, out != NULL ? out : &mine);
  curl_url_cleanup(parsed);
  return wrong;
}

enum akl_reach akl_url_redirect_reach(const char *url, const char *location) {
  struct akl_url to = {.reach = AKL_PUBLIC};
  CURLU *parsed = curl_url();
  if (parsed == NULL)
    return AKL_PRIVATE;
  CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
  if (code == CURLUE_OK) /* as libcurl does it itself */
    code = curl_url_set(parsed, CURLUPART_URL, location, CURLU_URLENCODE | CURLU_ALLOW_SPACE);
  char *host = code == CURLUE_OK ? part(parsed, CURLUPART_HOST) : NULL;
  if (host != NULL && copy_host(&to, host))
    to.reach = reach_of_host(to.host);
  else if (code == CURLUE_OK || code == CURLUE_OUT_OF_MEMORY)
    to.reach = AKL_PRIVATE;
  curl_free(host);
  curl_url_cleanup(parsed);
  return to.reach;
}

void akl_url_display(const char *url, char *out, size_t size) {
  size_t n = 0;
  for (; n + 1 < size && url[n] != '\0' && url[n] != '?' && url[n] != '#'; n++)
    out[n] = (char)((unsigned char)url[n] < 0x20 || url[n] == 0x7f ? '?' : url[n]);
  out[n] = '\0';
}
