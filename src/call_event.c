/* call, events: what is told on the way; see call_inside.h. */
#include <stdio.h>  /* snprintf */
#include <stdlib.h> /* calloc */
#include <string.h> /* strlen */
#include <time.h>   /* clock_gettime */

#include "call_inside.h"

enum { EVENTS_MAX = 256 }; /* of one call that nobody takes */

struct akl_event *akl_call_event(struct akl_call *c) {
  struct akl_event *last = c->last_event;
  if (last == NULL)
    return NULL;
  struct akl_event *oldest = last->next;
  last->next = oldest->next;
  if (oldest == last)
    c->last_event = NULL;
  c->event_count--;
  return oldest;
}

static double unix_time(void) {
  struct timespec ts;
  (void)clock_gettime(CLOCK_REALTIME, &ts);
  return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Who hears of what happens to this call: for the token's call, the first that waits for it. */
static struct akl_call *listener(struct akl_call *c) {
  struct akl_link *l = c->kind == AKL_TOKEN ? akl_link_first(&c->client->waiting) : &c->waiting;
  c = l == NULL ? NULL : AKL_OWNER(l, struct akl_call, waiting);
  return c != NULL && c->settings->events ? c : NULL;
}

/* Record an event and return it to be filled in, or NULL when nobody listens or memory is short. */
static struct akl_event *record(struct akl_call *c, enum akl_event_type type, const char *text) {
  struct akl_call *to = listener(c);
  if (to == NULL || to->event_count >= EVENTS_MAX)
    return NULL;
  size_t size = strlen(text) + 1;
  struct akl_event *event = calloc(1, sizeof *event + size);
  if (event == NULL)
    return NULL;
  event->type = type;
  event->kind = (enum akl_call_kind)c->kind;
  event->at = unix_time();
  event->attempt = c->attempt;
  memcpy(event->text, text, size);
  if (to->last_event == NULL) {
    event->next = event;
  } else {
    event->next = to->last_event->next;
    to->last_event->next = event;
  }
  to->last_event = event;
  to->event_count++;
  akl_call_news(to);
  return event;
}

void akl_record_request(struct akl_call *c, const char *url) {
  char shown[AKL_EVENT_TEXT - 16], text[AKL_EVENT_TEXT];
  if (listener(c) == NULL)
    return;
  akl_url_display(url, shown, sizeof shown);
  (void)snprintf(text, sizeof text, "%s %s", c->body != NULL ? "POST" : "GET", shown);
  (void)record(c, AKL_EV_REQUEST, text);
}

void akl_record_answer(struct akl_call *c, const struct akl_transfer *t,
                       const struct akl_error *error) {
  struct akl_event *event = record(c, AKL_EV_ANSWER, "");
  if (event == NULL)
    return;
  event->http_status = t->status;
  event->date = t->status != 0 ? akl_transfer_date(t) : (time_t)-1;
  event->code = error->code;
  event->error = error->name;
  event->seconds = (double)(*t->clock - t->started) / (double)AKL_SECOND;
}

void akl_record_retry(struct akl_call *c, const struct akl_error *error, akl_usec wait) {
  struct akl_event *event = record(c, AKL_EV_RETRY, "");
  if (event == NULL)
    return;
  event->error = error->name;
  event->seconds = (double)wait / (double)AKL_SECOND;
}

void akl_record_status(struct akl_call *c, int number) {
  struct akl_event *event = record(c, AKL_EV_STATUS, "");
  if (event != NULL)
    event->status = number;
}

void akl_record_token(struct akl_call *c) {
  (void)record(c, AKL_EV_TOKEN, "");
}
