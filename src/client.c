/* client: see client.h. */
#include "client.h"

#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* malloc */
#include <string.h> /* memcpy */

/* {====== Header lists ====== */

/* Append "line" to '*list'; on failure free the list and make it NULL. */
static bool append(struct curl_slist **list, const char *line) {
  struct curl_slist *longer = curl_slist_append(*list, line);
  if (longer == NULL)
    curl_slist_free_all(*list);
  *list = longer;
  return longer != NULL;
}

/* The headers of a request: credentials (a whole header line, or NULL), and for a POST the type of
** its body. Without "Expect:" libcurl may pause a POST to ask whether it is welcome. */
static struct akl_headers *headers(const char *credentials, bool post) {
  struct curl_slist *list = NULL;
  if (!append(&list, "Accept: application/json") ||
      (credentials != NULL && !append(&list, credentials)) ||
      (post && (!append(&list, "Content-Type: application/json") || !append(&list, "Expect:"))))
    return NULL;
  return akl_headers_new(list);
}

/* Make both lists anew with this credentials line, e.g. "x-api-key: KEY". */
static bool set_headers(struct akl_client *c, const char *name, const char *value) {
  size_t room = strlen(name) + strlen(value) + 1;
  char *line = malloc(room);
  if (line == NULL)
    return false;
  (void)snprintf(line, room, "%s%s", name, value);
  struct akl_headers *get = headers(line, false), *post = headers(line, true);
  akl_wipe_string(line);
  if (get == NULL || post == NULL) {
    akl_headers_unref(get);
    akl_headers_unref(post);
    return false;
  }
  akl_headers_unref(c->get);
  akl_headers_unref(c->post);
  c->get = get;
  c->post = post;
  return true;
}

static void drop_headers(struct akl_client *c) {
  akl_headers_unref(c->get);
  akl_headers_unref(c->post);
  c->get = c->post = NULL;
}

/* ============================================================ } */

struct akl_client *akl_client_new(const char *base_url, const struct akl_url *url) {
  struct akl_client *c = calloc(1, sizeof *c);
  if (c == NULL)
    return NULL;
  size_t size = strlen(base_url);
  while (base_url[size - 1] == '/') /* before them is a host: the URL was checked */
    size--;
  c->refs = 1;
  akl_link_init(&c->waiting);
  c->url = *url;
  c->seed = (uint64_t)akl_now() ^ (uint64_t)(uintptr_t)c << 17;
  c->base_url = malloc(size + 1);
  c->bare = headers(NULL, true);
  if (c->base_url == NULL || c->bare == NULL) {
    akl_client_unref(c);
    return NULL;
  }
  memcpy(c->base_url, base_url, size);
  c->base_url[size] = '\0';
  return c;
}

struct akl_client *akl_client_ref(struct akl_client *c) {
  c->refs++;
  return c;
}

void akl_client_unref(struct akl_client *c) {
  if (c == NULL || --c->refs > 0)
    return;
  drop_headers(c);
  akl_headers_unref(c->bare);
  akl_wipe_string(c->exchange);
  akl_wipe_string(c->given);
  akl_wipe_string(c->fetched);
  free(c->base_url);
  free(c);
}

/* Make '*to' a copy of 'words' and wipe what it was. False when memory runs out. */
static bool keep(char **to, const char *words) {
  char *copy = strdup(words);
  if (copy == NULL)
    return false;
  akl_wipe_string(*to);
  *to = copy;
  return true;
}

/* Use the body of a getToken request from now on. */
static bool set_exchange(struct akl_client *c, const char *value) {
  if (!keep(&c->exchange, value))
    return false;
  drop_headers(c);
  return true;
}

bool akl_client_credentials(struct akl_client *c, enum akl_auth auth, const char *value,
                            const char *words) {
  bool pair = auth == AKL_AUTH_PAIR;
  if (pair && c->auth == AKL_AUTH_PAIR && strcmp(c->exchange, value) == 0)
    return true; /* the same pair: its token stays good */
  const char *name = auth == AKL_AUTH_KEY ? "x-api-key: " : "Authorization: Bearer ";
  if (!keep(&c->given, words) || !(pair ? set_exchange(c, value) : set_headers(c, name, value)))
    return false;
  c->auth = auth;
  c->tokens++;
  return true;
}

bool akl_client_token(struct akl_client *c, const char *token) {
  if (!keep(&c->fetched, token) || !set_headers(c, "Authorization: Bearer ", token))
    return false;
  c->tokens++;
  return true;
}

void akl_client_redact(const struct akl_client *c, char *text) {
  enum { PIECE = 8 };
  char piece[PIECE + 1] = "";
  size_t size = strlen(text), hidden = 0; /* up to where the text is to be overwritten */
  char *copy = strdup(text);
  for (size_t i = 0; i < size; i++) {
    if (copy == NULL) {
      hidden = size; /* better to say nothing than too much */
    } else if (i + PIECE <= size) {
      memcpy(piece, copy + i, PIECE);
      if ((c->given != NULL && strstr(c->given, piece) != NULL) ||
          (c->fetched != NULL && strstr(c->fetched, piece) != NULL))
        hidden = i + PIECE;
    }
    if (i < hidden)
      text[i] = '*';
  }
  free(copy);
}

void akl_client_refused(struct akl_client *c, unsigned generation) {
  if (c->tokens == generation)
    drop_headers(c);
}

/* splitmix64 */
double akl_client_dice(struct akl_client *c) {
  uint64_t z = c->seed += 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0; /* 2^53 */
}
