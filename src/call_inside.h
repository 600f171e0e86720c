/*
** call, from inside: what the files of the call room share. `call.c` is a call's life, `call_poll.c`
** following a job, `call_token.c` the getToken call that others wait for, `call_download.c` what is
** particular to downloads, `call_signal.c` waiting for a signal, `call_event.c` what is told on the way.
*/
#ifndef AKL_CALL_INSIDE_H
#define AKL_CALL_INSIDE_H

#include "call.h"

/* {====== call.c ====== */

/* Send a request now, or as soon as the shared pace and a token allow. */
void akl_call_begin(struct akl_call *c);

/* Let the call's timer fire at 'at', or at its deadline if that comes first. */
void akl_call_pause(struct akl_call *c, akl_usec at);

/* The end of every call. What it still needs for its result stays until akl_call_free. */
void akl_call_over(struct akl_call *c);

/* The end of a call that failed; 'error' stays the caller's. */
void akl_call_fail(struct akl_call *c, const struct akl_error *error);
void akl_call_fail_for_memory(struct akl_call *c);

/* ============================================================ }
** {====== call_poll.c ====== */

/* Following a job begins, and ends. */
void akl_poll_started(struct akl_call *c, akl_usec now);
void akl_poll_over(struct akl_call *c);

/* The time for following a job is up. The job itself goes on. */
void akl_poll_expired(struct akl_call *c);

/* Ask again when the schedule says so. */
void akl_poll_again(struct akl_call *c);

/* A request is due. False: many are, so it was put off until its turn comes. */
bool akl_poll_may_go(struct akl_call *c);

/* Is this byte for byte the answer that the poll got last? */
bool akl_poll_unchanged(const struct akl_call *c, const struct akl_transfer *t);

/* A request failed. A poll endures failures that may pass: the next poll is the retry. */
void akl_poll_failed(struct akl_call *c, const struct akl_error *error);

/* A good answer came. True: the program should be told of its job. */
bool akl_polled(struct akl_call *c, const struct akl_transfer *t, const struct akl_answer *a);

/* ============================================================ }
** {====== call_token.c ====== */

/* Let the call wait for the client's token, and have it fetched if nobody does that yet. */
void akl_call_wait_for_token(struct akl_call *c);

/* The getToken call 'c' is over, well or not: everybody who waited goes on or fails like it. Frees
** the call. */
void akl_call_hand_out_token(struct akl_call *c);

/* Does the call fetch a token for which nobody waits? */
bool akl_token_for_nobody(const struct akl_call *c);

/* The call 'c' waited for the token and is over: if it was the last to wait, nobody fetches it. */
void akl_token_unwanted(const struct akl_call *c);

/* ============================================================ }
** {====== call_download.c ====== */

/* Set up the next attempt: from where the last one got to, if the server proves that the file is
** still the same. False when memory runs out. */
bool akl_download_prepare(struct akl_call *c, struct akl_transfer *t);

unsigned akl_download_lane(const struct akl_call *c);

/* The exchange as such went well. True: the file is whole and has its name. False and no error: it
** is to be asked for again, from its beginning. */
bool akl_download_ended(struct akl_call *c, struct akl_transfer *t, struct akl_error *error);

/* An attempt that brought the file a good deal further does not count as a failure in a row. */
void akl_download_note_progress(struct akl_call *c);

/* The download has failed: release the file, leaving what a later one can go on with. */
void akl_download_abandon(struct akl_call *c);

/* ============================================================ }
** {====== call_signal.c ====== */

/* Waiting for a signal begins, or fails at once because somebody else waits; and it ends. */
void akl_signal_await(struct akl_call *c);
void akl_signal_over(struct akl_call *c);

/* ============================================================ }
** {====== call_event.c: each records an event if somebody listens and memory allows ====== */

void akl_record_request(struct akl_call *c, const char *url);
void akl_record_answer(struct akl_call *c, const struct akl_transfer *t,
                       const struct akl_error *error);
void akl_record_retry(struct akl_call *c, const struct akl_error *error, akl_usec wait);
void akl_record_status(struct akl_call *c, int number);
void akl_record_token(struct akl_call *c);

/* ============================================================ } */

#endif
