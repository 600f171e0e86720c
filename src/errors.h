/*
** errors: the code table (errors.def) and the error value that every other room fills in.
** Knows nothing of Lua; core_value.c turns an error into the table that a caller sees.
*/
#ifndef AKL_ERRORS_H
#define AKL_ERRORS_H

#include <stdbool.h>

enum akl_kind {
  AKL_KIND_NONE, /* no error */
#define AKL_KIND(id, word) AKL_KIND_##id,
#include "errors.def"
};

enum akl_cause {
#define AKL_CAUSE(id, name, kind, retryable, advice) AKL_CAUSE_##id,
#include "errors.def"
};

/* One row of the table. All strings are static. */
struct akl_entry {
  int code; /* Akool's code; 0 for a cause of our own */
  enum akl_kind kind;
  bool retryable;
  const char *name;
  const char *meaning; /* NULL for a cause: what happened is said where it happens */
  const char *advice;
};

/* An error. Zeroed memory is "no error". */
struct akl_error {
  enum akl_kind kind;
  int code;           /* Akool's code, if it has one */
  int http_status;    /* 0 if no answer came */
  bool has_code;      /* the service said 'code', which may be 0 */
  bool retryable;     /* the same request may succeed later unchanged */
  bool maybe_created; /* a create whose answer was lost */
  double retry_after; /* seconds the service asked to wait; 0 if it did not say */
  const char *name;   /* static */
  char *message;      /* owned; NULL when memory ran out, then the advice in the table stands in */
  const char *advice; /* static */
  char *server_message; /* owned, may be NULL: the service's own words */
};

/* The word of a kind ("rate_limited"). Static. */
const char *akl_kind_word(enum akl_kind kind);

/* The row of one of Akool's codes, or NULL if the code is not in the table. */
const struct akl_entry *akl_code_entry(int code);

/* The row at 'index' of the code table, or NULL past its end: for documentation and tests. */
const struct akl_entry *akl_code_at(unsigned index);

/* The same for the causes of our own. */
const struct akl_entry *akl_cause_at(unsigned index);

/* The cause of that name (used by the Lua rooms), or NULL. */
const struct akl_entry *akl_cause_named(const char *name);

/* Make 'e' an error of this cause. 'format' says what happened, as a sentence; the table's advice
** is added. Whatever 'e' held before is freed. */
void akl_error_set(struct akl_error *e, enum akl_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Make 'e' the error of one of Akool's codes, known or not. 'server_message' is copied; may be
** NULL. */
void akl_error_code(struct akl_error *e, int code, const char *server_message);

/* Make 'e' the error of an HTTP status that is not a success. 'what' names the exchange ("creating a
** job"); 'retry_after' in seconds, negative if the server did not say. */
void akl_error_http(struct akl_error *e, int status, double retry_after, const char *what);

/* The request of 'e' may have made a job although its answer was lost: say so, and that it must not
** simply be sent again. */
void akl_error_uncertain(struct akl_error *e);

/* Copy 'from' to 'to', freeing what 'to' held. */
void akl_error_copy(struct akl_error *to, const struct akl_error *from);

/* Free what 'e' holds and make it "no error" again. */
void akl_error_clear(struct akl_error *e);

#endif
