/*
** protocol: Akool's requests, and Akool's answers. What a job, a code and a token look like on the
** wire is known here and nowhere else. Source: the LipSync, Authentication and ErrorCode pages of
** Akool's documentation. JSON is lua-cjson's, in an instance of our own whose settings nobody else
** can change.
*/
#ifndef AKL_PROTOCOL_H
#define AKL_PROTOCOL_H

#include <lua.h>

#include "answer.h"
#include "call.h"

/* Their addresses are where the registry keeps lua-cjson's decode and encode, of an instance of our
** own. */
extern const char akl_json_decode[], akl_json_encode[];

/* [-0, +0, e] Prepare lua-cjson; raises when it is missing. To be called once per state. */
void akl_protocol_open(lua_State *L);

/* [-0, +0, m] Make the table on top fit for a user, all the way down: lua-cjson hands back floats
** where the service wrote integers, and light userdata for null. False when there is a number in it
** that no number can hold (1e400). */
bool akl_protocol_tidy(lua_State *L);

/* Where requests of this kind go; NULL if they do not go to the service. */
const struct akl_endpoint *akl_protocol_endpoint(enum akl_call_kind kind);

/* What is wrong with a job's id, as the end of a sentence, or NULL. */
const char *akl_protocol_bad_id(const char *id, size_t size);

/* [-0, +1, m] Push the JSON body of a create. 'webhook' may be NULL. All have been checked, so they
** are short. */
void akl_protocol_create_body(lua_State *L, const char *video, const char *audio,
                              const char *webhook);

/* [-0, +1, m] Push the JSON body of a getToken request. */
void akl_protocol_token_body(lua_State *L, const char *id, const char *secret);

/* [-0, +1, m] Read the answer to a call into 'answer' and push what it carries: a job's table, one
** with `credits`, or nil. Whatever the answer looks like, this does not raise except for memory. */
void akl_protocol_read(lua_State *L, const struct akl_call *c, const struct akl_transfer *t,
                       struct akl_answer *answer);

#endif
