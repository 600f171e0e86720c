/* call, tokens: one fetch for all that wait; see call_inside.h. */
#include <stdlib.h> /* calloc */
#include <string.h> /* strdup */

#include "call_inside.h"

/* Start the client's getToken call, on behalf of 'c'. */
static bool fetch_token(struct akl_call *c) {
  struct akl_client *client = c->client;
  struct akl_call *fetch = calloc(1, sizeof *fetch);
  struct akl_call_parts parts = {.engine = c->engine,
                                 .client = client,
                                 .settings = c->settings,
                                 .to = client->exchange_at,
                                 .body = strdup(client->exchange)};
  if (fetch == NULL || parts.body == NULL) {
    akl_wipe_string(parts.body);
    free(fetch);
    return false;
  }
  if (!akl_call_init(fetch, AKL_TOKEN, &parts)) {
    free(fetch);
    return false;
  }
  fetch->tokens = client->tokens;
  client->fetching = fetch;
  akl_call_start(fetch, 0);
  return true;
}

void akl_call_wait_for_token(struct akl_call *c) {
  c->state = AKL_NEEDS_TOKEN;
  akl_link_append(&c->client->waiting, &c->waiting);
  if (c->deadline != AKL_NEVER)
    akl_timers_set(&c->engine->timers, &c->timer, c->deadline);
  if (c->client->fetching != NULL)
    return;
  akl_record_token(c);
  if (!fetch_token(c))
    akl_call_fail_for_memory(c);
}

bool akl_token_for_nobody(const struct akl_call *c) {
  return c->kind == AKL_TOKEN && akl_link_first(&c->client->waiting) == NULL;
}

void akl_call_hand_out_token(struct akl_call *c) {
  struct akl_link *l, waiting;
  struct akl_client *client = akl_client_ref(c->client);
  client->fetching = NULL;
  /* A failure of credentials that were replaced meanwhile is nobody's any more. */
  bool replaced = c->tokens != client->tokens && c->error.kind != AKL_KIND_CANCELLED;
  /* Who starts to wait from here on waits for the next token. */
  akl_link_init(&waiting);
  while ((l = akl_link_first(&client->waiting)) != NULL) {
    akl_link_remove(l);
    akl_link_append(&waiting, l);
  }
  akl_call_over(c);
  while ((l = akl_link_first(&waiting)) != NULL) {
    struct akl_call *w = AKL_OWNER(l, struct akl_call, waiting);
    akl_link_remove(l);
    if (c->error.kind == AKL_KIND_NONE || replaced)
      akl_call_begin(w);
    else
      akl_call_fail(w, &c->error);
  }
  akl_call_free(c);
  free(c);
  akl_client_unref(client);
}

/* Is its answer read just now? Then it is a finalizer of the program's that gave up waiting, and who
** reads it needs it to the end. */
static bool is_read(const struct akl_call *fetch) {
  return fetch->state == AKL_EXCHANGE && fetch->transfer == NULL;
}

void akl_token_unwanted(const struct akl_call *c) {
  struct akl_call *fetch = c->client->fetching;
  if (fetch != NULL && akl_token_for_nobody(fetch) && !is_read(fetch) &&
      !akl_engine_foreign(fetch->engine))
    akl_call_cancel(fetch, AKL_CAUSE_CANCELLED, "nobody waits for it any more");
}
