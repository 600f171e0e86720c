/*
** exchange: what a server sends, byte for byte, through libcurl, the callbacks of a transfer, its
** verdict, the protocol and the op to the program. The call ends, with a result or an error; what was
** cut short is no success; a create is not repeated when it may have been taken; a file is whole or
** absent; nothing tells the key.
**
** The first byte of an input is the kind of the call ("c" create, "i" info, "t" info with a token
** to be fetched, "w" wait, "b" balance, "d" download), the second how many bytes the server sends at
** once (0: all). Behind them are its replies, one after the other, each ended by the byte 0x1e, or by
** 0x04 when the server hangs up behind it. In a reply the byte 1 stands for the key, and 2 for the
** length of what follows the first empty line.
*/
#include <ctype.h> /* tolower */
#include <lauxlib.h>
#include <stdio.h>    /* snprintf */
#include <stdlib.h>   /* free */
#include <string.h>   /* memmem */
#include <sys/stat.h> /* stat */

#include "check.h"
#include "crypto.h"
#include "harness.h"
#include "sink.h"
#include "wire.h"

#define KEY "sk-9f8e7d6c5b4a39281706f5e4d3c2b1a0"

enum { NEXT_REPLY = 0x1e, HANG_UP = 0x04, THE_KEY = 1, THE_LENGTH = 2 };

/* The server, and what it saw. */
struct server {
  struct fuzz_input script;
  size_t slice;
  struct akl_memory reply; /* the last one, as it was sent */
  unsigned creates;        /* that came */
  bool taken;              /* one of them may have made a job */
};

static char path[160];

/* {====== The server ====== */

/* The body behind the first empty line, or the end. */
static size_t body_at(const uint8_t *reply, size_t size) {
  const uint8_t *end = memmem(reply, size, "\r\n\r\n", 4);
  return end == NULL ? size : (size_t)(end - reply) + 4;
}

/* The length of what stands for the body, the key in it counted as itself. */
static size_t body_length(const uint8_t *reply, size_t size) {
  size_t length = 0;
  for (size_t i = body_at(reply, size); i < size; i++)
    length += reply[i] == THE_KEY ? strlen(KEY) : 1;
  return length;
}

static void write_reply(struct akl_memory *out, const uint8_t *reply, size_t size) {
  char length[24];
  (void)snprintf(length, sizeof length, "%zu", body_length(reply, size));
  size_t head = body_at(reply, size);
  for (size_t i = 0; i < size; i++) {
    bool key = reply[i] == THE_KEY, counted = i < head && reply[i] == THE_LENGTH;
    const char *piece = key ? KEY : counted ? length : (const char *)&reply[i];
    fuzz_must(akl_memory_write(out, piece, key || counted ? strlen(piece) : 1), "memory suffices");
  }
}

/* Does one of the status lines in the reply begin with these digits? */
static bool has_status(const struct akl_memory *reply, const char *digits) {
  for (size_t i = 0; i + 12 <= reply->size; i++)
    if (memcmp(reply->data + i, "HTTP/", 5) == 0) {
      const char *space = memchr(reply->data + i, ' ', 12);
      if (space != NULL && space + 1 + strlen(digits) <= reply->data + reply->size &&
          memcmp(space + 1, digits, strlen(digits)) == 0)
        return true;
    }
  return false;
}

/* Can the reply to a create be taken as a no? Only what says so in Akool's words or HTTP's can. */
static bool may_refuse(const struct akl_memory *reply) {
  if (reply->size == 0)
    return false;
  return has_status(reply, "3") || has_status(reply, "4") || has_status(reply, "503") ||
         memmem(reply->data, reply->size, "code", 4) != NULL ||
         memchr(reply->data, '\\', reply->size) != NULL; /* "\u0063ode" */
}

static void answer(void *user, unsigned number, const char *request, size_t size,
                   struct wire_reply *reply) {
  static const char create[] = "POST /api/open/v3/content/video/lipsync ";
  struct server *s = user;
  size_t length = 0;
  (void)number;
  while (length < s->script.left && s->script.at[length] != NEXT_REPLY &&
         s->script.at[length] != HANG_UP)
    length++;
  s->reply.size = 0;
  write_reply(&s->reply, s->script.at, length);
  bool more = length < s->script.left;
  reply->then = more && s->script.at[length] == NEXT_REPLY ? WIRE_KEEP : WIRE_CLOSE;
  reply->bytes = s->reply.data;
  reply->size = s->reply.size;
  reply->slice = s->slice;
  s->script.at += length + more;
  s->script.left -= length + more;
  if (size > strlen(create) && memcmp(request, create, strlen(create)) == 0) {
    fuzz_must(!s->taken, "a create that may have made a job is not sent again");
    s->creates++;
    s->taken = !may_refuse(&s->reply);
  }
}

/* ============================================================ }
** {====== What came of it ====== */

/* Is the end of this reply's body certain? */
static bool is_framed(const struct akl_memory *reply) {
  if (reply->size == 0)
    return false;
  char *copy = fuzz_copy(reply->data, reply->size);
  for (size_t i = 0; i < reply->size; i++)
    copy[i] = copy[i] == '\0' ? ' ' : (char)tolower((unsigned char)copy[i]);
  bool ended = strstr(copy, "\n\r\n") != NULL || strstr(copy, "\n\n") != NULL;
  bool framed = strstr(copy, "content-length:") != NULL || strstr(copy, "chunked") != NULL;
  free(copy);
  return ended && framed;
}

static void check_events(lua_State *L, int index) {
  for (lua_Integer i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; i++) {
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
      size_t size;
      const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
      if (text != NULL) {
        fuzz_check_text(text, size, KEY, lua_tostring(L, -2));
        fuzz_must(memmem(text, size, "hidden", 6) == NULL, "no event tells a signature");
      }
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

/* The file that a download says it has written. */
static void check_file(lua_State *L, int index) {
  char bytes[4096], digest[AKL_SHA256_HEX + 1];
  size_t got, size = 0;
  struct akl_sha256 *sum = akl_sha256_new();
  FILE *file = fopen(path, "rb");
  fuzz_must(file != NULL && sum != NULL, "a finished download is there");
  while ((got = fread(bytes, 1, sizeof bytes, file)) > 0) {
    size += got;
    fuzz_must(akl_sha256_update(sum, bytes, got), "memory suffices");
  }
  (void)fclose(file);
  fuzz_must(akl_sha256_finish(sum, digest), "memory suffices");
  akl_sha256_free(sum);
  lua_getfield(L, index, "bytes");
  fuzz_must(lua_tointeger(L, -1) == (lua_Integer)size && size > 0, "a file is as long as it says");
  lua_getfield(L, index, "sha256");
  fuzz_must(strcmp(lua_tostring(L, -1), digest) == 0, "a file is what its digest says");
  lua_pop(L, 2);
}

/* The call returned value, error, events at 1, 2, 3. */
static void check_outcome(lua_State *L, char kind, const struct server *s) {
  fuzz_must(lua_isnil(L, 1) != lua_isnil(L, 2), "a call returns a value or an error");
  if (lua_isnil(L, 2)) {
    fuzz_must(is_framed(&s->reply), "an answer that was cut short is no success");
    if (kind == 'd')
      check_file(L, 1);
    else if (kind == 'b')
      fuzz_must(lua_isnumber(L, 1), "a balance is a number");
    else
      fuzz_check_job(L, 1, false);
  } else {
    struct stat st;
    fuzz_must(stat(path, &st) != 0, "a download that failed leaves no file");
    lua_getfield(L, 2, "maybe_created");
    fuzz_must(!s->taken || lua_toboolean(L, -1), "a create that may have made a job says so");
    lua_pop(L, 1);
    fuzz_check_error(L, 2, KEY);
  }
  check_events(L, 3);
}

/* ============================================================ } */

static void set_up(void) {
  fuzz_clean_environment();
  (void)snprintf(path, sizeof path, "%s/out.mp4", fuzz_folder());
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct server s = {.script = {bytes, size}};
  char kind[2] = {(char)fuzz_byte(&s.script), '\0'};
  if (path[0] == '\0')
    set_up();
  if (strchr("citwbd", kind[0]) == NULL || kind[0] == '\0')
    kind[0] = 'i';
  s.slice = fuzz_byte(&s.script);
  wire_reset(answer, &s);

  lua_State *L = fuzz_lua();
  fuzz_require(L, "exchange");
  int lowest = fuzz_lowest_descriptor();
  lua_pushstring(L, kind);
  lua_pushliteral(L, KEY);
  lua_pushstring(L, path);
  fuzz_must(fuzz_call(L, 3, 3), "nothing that a server says raises: %s", lua_tostring(L, -1));
  check_outcome(L, kind[0], &s);
  wire_reset(answer, &s);
  fuzz_must(fuzz_lowest_descriptor() == lowest, "every descriptor is closed");
  if (kind[0] == 'd')
    fuzz_empty_folder();
  akl_memory_free(&s.reply);
  return 0;
}
