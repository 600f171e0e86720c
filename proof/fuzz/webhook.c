/*
** webhook: deliveries, opened. What comes out is an event that says what it should, or the one error
** of a refusal, the same for everything that can be wrong; opening again gives the same.
**
** The first byte of an input says what the rest is: "b" a body, "t" a text that is sealed and signed,
** "p" a text with its padding, which may be wrong, encrypted and signed, "f" fields as they stand in
** the JSON, with a signature that fits: timestamp and nonce, each behind its length, then dataEncrypt.
*/
#include <lauxlib.h>
#include <stdio.h>  /* snprintf */
#include <string.h> /* memcpy */

#include "check.h"
#include "crypto.h"
#include "delivery.h"
#include "harness.h"

#define CLIENT_ID "AKDt8rWEczpYPzCGur2xE"
#define CLIENT_SECRET "nmwUjMAK0PJpl0MOiXLOOOwZ"
#define TIMESTAMP "1710757981609"
#define NONCE "1529"
enum { TEXT_MOST = 8192, FIELD_MOST = 255, PADDING_MOST = 32, BODY_MOST = 4 * TEXT_MOST };

/* {====== Bodies ====== */

struct body {
  char bytes[BODY_MOST];
  size_t size;
  size_t signature; /* where its last digit stands, 0 if that is not known */
};

static struct akl_piece literal(const char *text) {
  return (struct akl_piece){text, strlen(text)};
}

static void append(struct body *b, struct akl_piece piece) {
  fuzz_must(b->size + piece.size <= sizeof b->bytes, "a body has room");
  if (piece.size > 0)
    memcpy(b->bytes + b->size, piece.bytes, piece.size);
  b->size += piece.size;
}

static void write_body(struct body *b, const char *signature, struct akl_piece sealed,
                       struct akl_piece timestamp, struct akl_piece nonce) {
  append(b, literal("{\"signature\":\""));
  append(b, literal(signature));
  b->signature = b->size - 1;
  append(b, literal("\",\"dataEncrypt\":\""));
  append(b, sealed);
  append(b, literal("\",\"timestamp\":"));
  append(b, timestamp);
  append(b, literal(",\"nonce\":\""));
  append(b, nonce);
  append(b, literal("\"}"));
}

static bool comes_before(struct akl_piece one, struct akl_piece other) {
  int order = memcmp(one.bytes, other.bytes, one.size < other.size ? one.size : other.size);
  return order < 0 || (order == 0 && one.size < other.size);
}

static void write_signed(struct body *b, struct akl_piece sealed, struct akl_piece timestamp,
                         struct akl_piece nonce) {
  struct akl_piece pieces[] = {literal(CLIENT_ID), timestamp, nonce, sealed};
  enum { PIECES = sizeof pieces / sizeof pieces[0] };
  char signature[AKL_SHA1_HEX + 1];
  for (size_t i = 1; i < PIECES; i++)
    for (size_t j = i; j > 0 && comes_before(pieces[j], pieces[j - 1]); j--) {
      struct akl_piece piece = pieces[j];
      pieces[j] = pieces[j - 1];
      pieces[j - 1] = piece;
    }
  fuzz_must(akl_sha1(pieces, PIECES, signature), "memory suffices");
  write_body(b, signature, sealed, timestamp, nonce);
}

static void write_text(struct body *b, struct fuzz_input *in) {
  static char sealed[2 * TEXT_MOST];
  char signature[AKL_SHA1_HEX + 1];
  struct akl_sealing s = {.client_id = literal(CLIENT_ID),
                          .client_secret = literal(CLIENT_SECRET),
                          .timestamp = literal(TIMESTAMP),
                          .nonce = literal(NONCE)};
  struct akl_piece text = {in->at, in->left};
  fuzz_must(akl_delivery_sealed_room(text.size) <= sizeof sealed &&
                akl_delivery_seal(&s, text, sealed, signature),
            "a text can be sealed");
  write_body(b, signature, literal(sealed), s.timestamp, s.nonce);
}

static void write_padded(struct body *b, struct fuzz_input *in) {
  static unsigned char blocks[TEXT_MOST];
  static char sealed[2 * TEXT_MOST];
  static const unsigned char iv[] = CLIENT_ID;
  struct akl_piece key = literal(CLIENT_SECRET);
  size_t size = in->left - in->left % AKL_AES_BLOCK;
  fuzz_must(akl_aes_cbc(true, &key, iv, in->at, size, blocks), "memory suffices");
  akl_base64_encode(blocks, size, sealed);
  write_signed(b, literal(sealed), literal(TIMESTAMP), literal(NONCE));
}

static void write_fields(struct body *b, struct fuzz_input *in) {
  struct akl_piece timestamp, nonce;
  timestamp.bytes = fuzz_bytes(in, FIELD_MOST, &timestamp.size);
  nonce.bytes = fuzz_bytes(in, FIELD_MOST, &nonce.size);
  write_signed(b, (struct akl_piece){in->at, in->left}, timestamp, nonce);
}

/* ============================================================ }
** {====== Opening ====== */

/* [-0, +1, m] Push what webhook.open makes of it: an event, or nil when it was refused. */
static void open_body(lua_State *L, const struct body *b) {
  static char refused[512];
  fuzz_require(L, "akool.lipsync.webhook");
  lua_getfield(L, -1, "open");
  lua_pushlstring(L, b->bytes, b->size);
  lua_createtable(L, 0, 3);
  lua_pushliteral(L, CLIENT_ID);
  lua_setfield(L, -2, "client_id");
  lua_pushliteral(L, CLIENT_SECRET);
  lua_setfield(L, -2, "client_secret");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "tolerance");
  fuzz_must(fuzz_call(L, 2, 2), "opening does not raise: %s", lua_tostring(L, -1));
  lua_remove(L, -3);
  if (lua_isnil(L, -2)) {
    fuzz_check_error(L, -1, CLIENT_SECRET);
    const char *said = luaL_tolstring(L, -1, NULL);
    if (refused[0] == '\0')
      (void)snprintf(refused, sizeof refused, "%s", said);
    fuzz_must(strcmp(refused, said) == 0, "all refusals are one: \"%s\", \"%s\"", refused, said);
    lua_pop(L, 1);
  } else {
    fuzz_must(lua_isnil(L, -1), "an event comes without an error");
    fuzz_check_event(L, -2);
  }
  lua_pop(L, 1);
}

static bool is_padded(const uint8_t *text, size_t size) {
  size -= size % AKL_AES_BLOCK;
  size_t padding = size == 0 ? 0 : text[size - 1];
  bool fine = padding > 0 && padding <= PADDING_MOST && padding <= size;
  for (size_t i = 1; fine && i <= padding; i++)
    fine = text[size - i] == padding;
  return fine;
}

/* ============================================================ } */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static struct body b;
  struct fuzz_input in = {bytes, size};
  uint8_t what = fuzz_byte(&in);
  if (in.left > TEXT_MOST)
    return 0;
  b.size = b.signature = 0;
  switch (what) {
  case 't':
    write_text(&b, &in);
    break;
  case 'p':
    write_padded(&b, &in);
    break;
  case 'f':
    write_fields(&b, &in);
    break;
  default:
    append(&b, (struct akl_piece){in.at, in.left});
  }
  lua_State *L = fuzz_lua();
  fuzz_lua_trace(L);
  open_body(L, &b);
  bool opened = !lua_isnil(L, -1);
  fuzz_must(what != 'p' || !opened || is_padded(in.at, in.left), "each byte of padding counts");
  open_body(L, &b);
  fuzz_must(opened == !lua_isnil(L, -1), "what is opened once can be opened again");
  if (opened && b.signature > 0) {
    b.bytes[b.signature] ^= 1;
    open_body(L, &b);
    fuzz_must(lua_isnil(L, -1), "each digit of a signature counts");
  }
  return 0;
}
