/*
** answer: what an answer of the service means, as a small C struct. The protocol room fills it in
** from JSON; the call room decides by it. Neither has to know the other.
*/
#ifndef AKL_ANSWER_H
#define AKL_ANSWER_H

#include <stdbool.h>

#include "errors.h"

/* 1 to 4 are the service's own numbers for video_status. */
enum akl_status {
  AKL_UNKNOWN = 0,
  AKL_QUEUEING = 1,
  AKL_PROCESSING = 2,
  AKL_COMPLETED = 3,
  AKL_FAILED = 4,
};

/* The word that programs see. Static. */
static inline const char *akl_status_word(enum akl_status status) {
  static const char *const words[] = {"unknown", "queueing", "processing", "completed", "failed"};
  return words[status];
}

enum { AKL_ID_MAX = 128 };

/* Where a request goes. Static. */
struct akl_endpoint {
  const char *path;
  const char *query; /* its query, to be followed by the job's id; NULL if it has none */
};

struct akl_answer {
  struct akl_error error;  /* none: the answer is good */
  enum akl_status status;  /* of the job; AKL_UNKNOWN if it has another one than the four */
  int number;              /* the status as the service wrote it */
  char id[AKL_ID_MAX + 1]; /* of the job, "" if none; also set beside an error */
  char *token;             /* owned; only in an answer to getToken */
};

#endif
