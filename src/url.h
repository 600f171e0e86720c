/*
** url: what a URL may be. Everything that will be sent or fetched passes here first.
*/
#ifndef AKL_URL_H
#define AKL_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h> /* struct sockaddr */

enum { AKL_URL_MAX = 8192 };

enum akl_reach {
  AKL_PUBLIC,   /* a name, or an address that anybody may have */
  AKL_PRIVATE,  /* an address of a private or link-local network */
  AKL_LOOPBACK, /* this machine */
};

struct akl_url {
  bool https;
  enum akl_reach reach; /* of the host as it is written; names other than localhost are public */
  char host[256];       /* lower case, without brackets */
};

/* Look at a URL of 'size' bytes that somebody gave us. On success fill in 'out' (may be NULL) and
** return NULL; otherwise return what is wrong with it, as the end of a sentence that begins with
** the name of the URL ("is not an absolute URL"). The text is static. */
const char *akl_url_check(const char *url, size_t size, struct akl_url *out);

/* Where does a redirect of 'url' lead, by what is written in it? AKL_PUBLIC when libcurl could not
** follow it, AKL_PRIVATE when memory ran out. */
enum akl_reach akl_url_redirect_reach(const char *url, const char *location);

/* How far an address reaches. Addresses of unknown families count as private. */
enum akl_reach akl_address_reach(const struct sockaddr *address);

/* The same for an address as text; what is none counts as private. */
enum akl_reach akl_numeric_reach(const char *address);

/* Copy a URL without its query and fragment, which may hold a signature, for events and messages.
** Control bytes become '?'. Always terminates; cuts what does not fit. */
void akl_url_display(const char *url, char *out, size_t size);

#endif
