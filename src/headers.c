/* headers: see headers.h. */
#include "headers.h"

#include <stdlib.h> /* malloc */
#include <string.h> /* strlen */

#include "crypto.h"

struct akl_headers *akl_headers_new(struct curl_slist *list) {
  struct akl_headers *h = malloc(sizeof *h);
  if (h == NULL) {
    curl_slist_free_all(list);
    return NULL;
  }
  *h = (struct akl_headers){.refs = 1, .list = list};
  return h;
}

struct akl_headers *akl_headers_ref(struct akl_headers *h) {
  h->refs++;
  return h;
}

void akl_headers_unref(struct akl_headers *h) {
  if (h == NULL || --h->refs > 0)
    return;
  for (struct curl_slist *l = h->list; l != NULL; l = l->next)
    akl_wipe(l->data, strlen(l->data));
  curl_slist_free_all(h->list);
  free(h);
}
