/*
** client: what all calls of one client share: the address of the service, credentials, the token
** fetched for them, the retry budget, the pace. Counted: calls and the program's client object
** each hold one reference.
*/
#ifndef AKL_CLIENT_H
#define AKL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "list.h"
#include "policy.h"
#include "transfer.h"
#include "url.h"

enum akl_auth {
  AKL_AUTH_NONE,
  AKL_AUTH_KEY,   /* x-api-key: KEY */
  AKL_AUTH_TOKEN, /* Authorization: Bearer TOKEN, given by the user */
  AKL_AUTH_PAIR,  /* the same, the token fetched with client id and secret */
};

struct akl_call;

struct akl_client {
  unsigned refs;
  char *base_url;     /* owned, without a slash at its end */
  struct akl_url url; /* what base_url says */
  enum akl_auth auth;
  struct akl_headers *get, *post; /* counted, with credentials in them; NULL while there are none */
  struct akl_headers *bare;       /* counted: of a POST without credentials (getToken) */
  const struct akl_endpoint *exchange_at; /* where a token is fetched */
  char *exchange;                         /* owned: body of that request; holds the secret */
  char *given, *fetched;     /* owned: credentials as text, to be recognised; NULL if none */
  struct akl_call *fetching; /* owned: the getToken call under way, or NULL */
  struct akl_link waiting;   /* calls that wait for its token */
  unsigned tokens;           /* how often credentials changed, fetched tokens included */
  struct akl_budget budget;
  struct akl_pace pace;
  uint64_t seed; /* of the dice */
};

/* A client of the service at 'base_url' (copied; already checked, described by 'url'). One
** reference, no credentials. NULL when memory runs out. */
struct akl_client *akl_client_new(const char *base_url, const struct akl_url *url);

struct akl_client *akl_client_ref(struct akl_client *c);

/* Give one reference back; NULL is fine. */
void akl_client_unref(struct akl_client *c);

/* Use these credentials from now on. 'value' (copied) is the key or the token, or for a pair the
** body of the getToken request; 'words' (copied) are the credentials in it. False when memory runs
** out. */
bool akl_client_credentials(struct akl_client *c, enum akl_auth auth, const char *value,
                            const char *words);

/* Overwrite with '*' whatever of the client's credentials stands in 'text', down to pieces of 8
** bytes: the service's own words might repeat them. */
void akl_client_redact(const struct akl_client *c, char *text);

/* A token came for the pair. */
bool akl_client_token(struct akl_client *c, const char *token);

/* The service refused the token that was fetched as number 'generation': fetch a new one, unless
** that has happened meanwhile. */
void akl_client_refused(struct akl_client *c, unsigned generation);

/* A number in [0, 1). */
double akl_client_dice(struct akl_client *c);

#endif
