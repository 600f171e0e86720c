/*
** check: what a job and an error have to look like to a program, whatever the service said. Each
** function aborts when its value is not so.
*/
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Text that a program may print: no control characters, and no eight bytes in a row of 'secret'
** (NULL: there is none). 'what' names the text. */
void fuzz_check_text(const char *text, size_t size, const char *secret, const char *what);

/* [-0, +0, m] A job: complete, integers where integers belong, nothing of lua-cjson's in it. A poll
** 'may_be_new': have a status that is not documented. */
void fuzz_check_job(lua_State *L, int index, bool may_be_new);

/* [-0, +0, m] What a delivery said. */
void fuzz_check_event(lua_State *L, int index);

/* [-0, +0, m] An error: kind, name and message, nothing that is not documented, and none of it tells
** the secret. The id of the job is told as it came: without it a paid job would be lost. */
void fuzz_check_error(lua_State *L, int index, const char *secret);

#endif
