/* errors: see errors.h. */
#include "errors.h"

#include <stdarg.h> /* va_list */
#include <stdio.h>  /* vsnprintf */
#include <stdlib.h> /* malloc */
#include <string.h> /* strcmp */

static const char *const kind_words[] = {
    "none",
#define AKL_KIND(id, word) word,
#include "errors.def"
};

static const struct akl_entry codes[] = {
#define AKL_CODE(code, name, kind, retryable, meaning, advice)                                     \
  {code, AKL_KIND_##kind, retryable, name, meaning, advice},
#include "errors.def"
};

static const struct akl_entry causes[] = {
#define AKL_CAUSE(id, name, kind, retryable, advice)                                               \
  {0, AKL_KIND_##kind, retryable, name, NULL, advice},
#include "errors.def"
};

#define AKL_NOTE(id, advice) static const char note_##id[] = advice;
#include "errors.def"

enum { CODES = sizeof codes / sizeof codes[0], CAUSES = sizeof causes / sizeof causes[0] };

const char *akl_kind_word(enum akl_kind kind) {
  return kind_words[kind];
}

const struct akl_entry *akl_code_at(unsigned index) {
  return index < CODES ? &codes[index] : NULL;
}

const struct akl_entry *akl_cause_at(unsigned index) {
  return index < CAUSES ? &causes[index] : NULL;
}

const struct akl_entry *akl_code_entry(int code) {
  for (unsigned i = 0; i < CODES; i++)
    if (codes[i].code == code)
      return &codes[i];
  return NULL;
}

const struct akl_entry *akl_cause_named(const char *name) {
  for (unsigned i = 0; i < CAUSES; i++)
    if (strcmp(causes[i].name, name) == 0)
      return &causes[i];
  return NULL;
}

/* A fresh copy of 's', or NULL when 's' is NULL or memory runs out. */
static char *copy_string(const char *s) {
  if (s == NULL)
    return NULL;
  size_t size = strlen(s) + 1;
  char *copy = malloc(size);
  if (copy != NULL)
    memcpy(copy, s, size);
  return copy;
}

void akl_error_clear(struct akl_error *e) {
  free(e->message);
  free(e->server_message);
  *e = (struct akl_error){0};
}

static void take_entry(struct akl_error *e, const struct akl_entry *entry) {
  akl_error_clear(e);
  e->kind = entry->kind;
  e->retryable = entry->retryable;
  e->name = entry->name;
  e->advice = entry->advice;
}

/* Messages are printed, and some quote what a server said: that must not work a terminal. */
static void make_printable(char *text) {
  for (; *text != '\0'; text++)
    if ((unsigned char)*text < 0x20 || *text == 0x7f)
      *text = '?';
}

void akl_error_set(struct akl_error *e, enum akl_cause cause, const char *format, ...) {
  const char *advice = causes[cause].advice;
  take_entry(e, &causes[cause]);

  va_list args;
  va_start(args, format);
  int said = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (said < 0)
    return;

  size_t size = (size_t)said + 1 + strlen(advice) + 1;
  e->message = malloc(size);
  if (e->message == NULL)
    return;
  va_start(args, format);
  (void)vsnprintf(e->message, size, format, args);
  va_end(args);
  make_printable(e->message);
  (void)snprintf(e->message + said, size - (size_t)said, " %s", advice);
}

void akl_error_code(struct akl_error *e, int code, const char *server_message) {
  const struct akl_entry *entry = akl_code_entry(code);
  if (entry == NULL) {
    akl_error_set(e, AKL_CAUSE_UNKNOWN_CODE, "The service answered with code %d.", code);
  } else {
    take_entry(e, entry);
    size_t size = strlen(entry->meaning) + 1 + strlen(entry->advice) + 1;
    e->message = malloc(size);
    if (e->message != NULL)
      (void)snprintf(e->message, size, "%s %s", entry->meaning, entry->advice);
  }
  e->code = code;
  e->has_code = true;
  e->server_message = copy_string(server_message);
}

static enum akl_cause cause_of_status(int status) {
  if (status == 429)
    return AKL_CAUSE_HTTP_RATE;
  if (status == 408 || status >= 500)
    return AKL_CAUSE_HTTP_SERVER;
  if (status == 401)
    return AKL_CAUSE_HTTP_AUTH;
  if (status == 403)
    return AKL_CAUSE_HTTP_FORBIDDEN;
  if (status == 404)
    return AKL_CAUSE_HTTP_NOT_FOUND;
  return status >= 300 && status < 400 ? AKL_CAUSE_REDIRECT : AKL_CAUSE_HTTP_CLIENT;
}

void akl_error_http(struct akl_error *e, int status, double retry_after, const char *what) {
  akl_error_set(e, cause_of_status(status), "While %s, the server answered with HTTP status %d.",
                what, status);
  e->http_status = status;
  e->retry_after = retry_after > 0 ? retry_after : 0;
}

void akl_error_uncertain(struct akl_error *e) {
  const char *advice = note_MAYBE_CREATED;
  e->maybe_created = true;
  e->retryable = false;
  if (e->message != NULL) {
    size_t said = strlen(e->message) - strlen(e->advice); /* with which every message ends */
    size_t room = said + strlen(advice) + 1;
    char *message = malloc(room);
    if (message != NULL) {
      (void)snprintf(message, room, "%.*s%s", (int)said, e->message, advice);
      free(e->message);
      e->message = message;
    }
  }
  e->advice = advice;
}

void akl_error_copy(struct akl_error *to, const struct akl_error *from) {
  struct akl_error copy = *from;
  copy.message = copy_string(from->message);
  copy.server_message = copy_string(from->server_message);
  akl_error_clear(to);
  *to = copy;
}
