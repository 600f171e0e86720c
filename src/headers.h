/*
** headers: request headers, shared by counting: the same list serves thousands of polls.
*/
#ifndef AKL_HEADERS_H
#define AKL_HEADERS_H

#include <curl/curl.h>

struct akl_headers {
  unsigned refs;
  struct curl_slist *list; /* owned; may hold credentials */
};

/* Takes over 'list'. NULL when memory runs out; then 'list' has been freed. */
struct akl_headers *akl_headers_new(struct curl_slist *list);
struct akl_headers *akl_headers_ref(struct akl_headers *h);
/* Give one reference back; the last one wipes and frees the list. NULL is fine. */
void akl_headers_unref(struct akl_headers *h);

#endif
