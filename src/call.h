/*
** call: an op. It has been started and will finish: its attempts, its deadline, its cancelling, and
** for a poll all the requests that follow a job to its end.
**
** A call lives in memory of its owner's (the program's op object), does not move, and is in the
** engine's ring of calls until it is over. It has news when the program should look: an event was
** recorded, bytes came, or it is over.
*/
#ifndef AKL_CALL_H
#define AKL_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "client.h"
#include "engine.h"
#include "settings.h"

enum akl_call_kind {
  AKL_CREATE,
  AKL_INFO,
  AKL_POLL,
  AKL_CREDITS,
  AKL_TOKEN, /* started by calls that need a token, never by the program */
  AKL_DOWNLOAD,
  AKL_SLEEP,
};

enum akl_call_state {
  AKL_NEW,
  AKL_PAUSED,      /* until its timer fires: sleeping, before a retry or the next poll */
  AKL_NEEDS_TOKEN, /* until the client has one */
  AKL_EXCHANGE,    /* until its transfer ends */
  AKL_OVER,
};

enum { AKL_EVENT_TEXT = 528 }; /* bytes of an event's text at most, its zero byte among them */

enum akl_event_type { AKL_EV_REQUEST, AKL_EV_ANSWER, AKL_EV_RETRY, AKL_EV_STATUS, AKL_EV_TOKEN };

/* Something that happened, for whoever asked to hear of it. Holds no secrets. */
struct akl_event {
  struct akl_event *next;
  enum akl_event_type type;
  enum akl_call_kind kind; /* of the call it happened to */
  double at;               /* Unix time, seconds */
  unsigned attempt;        /* request, answer, retry: from 1 */
  int http_status, code;   /* answer */
  double seconds;          /* answer: how long it took; retry: the wait */
  const char *error;       /* answer, retry: name of the error, static; NULL if none */
  int status;              /* status: what the service said, also when it is not one of the four */
  char text[];             /* request: method and URL without its query; else "" */
};

struct akl_call {
  struct akl_link link;    /* in the engine's calls */
  struct akl_link news;    /* in the engine's news */
  struct akl_link waiting; /* in the client's waiting */
  struct akl_timer timer;
  struct akl_engine *engine;     /* borrowed; NULL once it is over and that is known */
  struct akl_client *client;     /* counted; NULL for a sleep */
  struct akl_settings *settings; /* counted; NULL for a sleep */
  struct akl_transfer *transfer; /* while in an exchange */
  char *target;                  /* owned: path and query of the request, or a download's URL */
  char *job;                     /* owned: id of the job it is about, or NULL */
  char *body;                    /* owned: of a POST */
  struct akl_file *file;         /* owned: of a download */
  struct akl_event *events, **last_event;
  struct akl_error error;   /* once over: why it failed, if it did */
  akl_usec deadline;        /* of the whole call, AKL_NEVER if its parts have their own */
  akl_usec failing_since;   /* poll: since when requests fail, 0 if they do not */
  uint64_t seen[2];         /* poll: digest of the last answer */
  int64_t progressed;       /* download: bytes at the last failure */
  akl_usec told;            /* download: when progress was last told */
  const char *failing_with; /* poll: the last request's error, static; NULL if it was fine */
  int number;               /* poll: the status as the service last wrote it */
  size_t body_size;
  unsigned slot;     /* the owner's */
  unsigned tokens;   /* which token the request was sent with */
  unsigned attempt;  /* requests sent, in all */
  unsigned failures; /* in a row */
  unsigned polls;    /* answers, for the schedule */
  unsigned short event_count;
  unsigned char kind, state, status; /* enums above; status: the last one a poll learnt */
  bool renewed;                      /* a refused token was replaced once */
  bool learnt;                       /* poll: an answer was read */
  bool wants_progress, has_progress;
};

/* Make zeroed memory a call that has not started. Takes over 'target', 'job', 'body' and 'file'
** (each may be NULL if it does not apply), also on failure; counts client and settings. False when
** memory runs out: then nothing is held. */
struct akl_call_parts {
  struct akl_engine *engine;
  struct akl_client *client;
  struct akl_settings *settings;
  char *target, *job, *body;
  struct akl_file *file;
};
bool akl_call_init(struct akl_call *c, enum akl_call_kind kind, const struct akl_call_parts *parts);

/* Start it. 'wait' is the length of a sleep, or how long a poll waits before its first request. */
void akl_call_start(struct akl_call *c, akl_usec wait);

/* Its transfer has ended and was taken from the engine. True: the body is an answer of the service
** that has to be read, while the transfer lives, and reported with akl_call_answered; False: all
** is settled. Either way the caller recycles the transfer afterwards. */
bool akl_call_ended(struct akl_call *c, struct akl_transfer *t);

/* What the answer says. True: the program should be told of the job in it (a new status, or the
** result of a call that is over). 'answer' stays the caller's. */
bool akl_call_answered(struct akl_call *c, struct akl_transfer *t, struct akl_answer *answer);

/* End it now, with this cause; fine when it is over. */
void akl_call_cancel(struct akl_call *c, enum akl_cause cause, const char *why);

/* Put it among the engine's news. */
void akl_call_news(struct akl_call *c);

/* The next call with news, or NULL; it is taken out of the engine's news. */
struct akl_call *akl_calls_news(struct akl_engine *e);

/* End every call of an engine that is about to be closed, or that belongs to another process. */
void akl_calls_close(struct akl_engine *e);

/* Take its oldest event, or NULL; to be freed with free(). */
struct akl_event *akl_call_event(struct akl_call *c);

/* Free all it holds; cancels it first if need be. */
void akl_call_free(struct akl_call *c);

/* What it is doing, for messages ("creating a job"). Static. */
const char *akl_call_doing(const struct akl_call *c);

/* "create", "info", … Static. */
const char *akl_call_word(enum akl_call_kind kind);

#endif
