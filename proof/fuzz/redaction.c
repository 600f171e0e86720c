/*
** redaction: credentials planted in text. Eight bytes in a row of any of a client's credentials do
** not come out, and what has nothing to do with them comes out unchanged.
**
** The first byte of an input says how long the key is, the key follows, then a fetched token in the
** same way, then the text; in the text the bytes 1 to 4 copy pieces of key and token.
*/
#include <stdlib.h> /* free */
#include <string.h> /* strlen */

#include "client.h"
#include "harness.h"

enum { PIECE = 8, CREDENTIAL_MOST = 48, TEXT_MOST = 1024 };

static const struct akl_url here = {.reach = AKL_LOOPBACK, .host = "127.0.0.1"};

/* A credential as the library takes one: bytes from ! to ~. */
static char *credential_from(struct fuzz_input *in) {
  char *text = fuzz_string(in, CREDENTIAL_MOST);
  for (char *c = text; *c != '\0'; c++)
    *c = (char)('!' + (unsigned char)*c % ('~' - '!' + 1));
  return text;
}

/* Append a piece of 'from' that begins and is as long as the next two bytes say. */
static size_t add_piece(struct fuzz_input *in, const char *from, char *out, size_t room) {
  size_t size = strlen(from), start = fuzz_byte(in), length = fuzz_byte(in);
  if (size == 0)
    return 0;
  start %= size;
  if (length > size - start)
    length = size - start;
  if (length > room)
    length = room;
  memcpy(out, from + start, length);
  return length;
}

static char *text_from(struct fuzz_input *in, const char *key, const char *token) {
  char text[TEXT_MOST];
  size_t size = 0;
  while (in->left > 0 && size < sizeof text) {
    uint8_t byte = fuzz_byte(in);
    if (byte >= 1 && byte <= 4)
      size += add_piece(in, byte % 2 == 0 ? key : token, text + size, sizeof text - size);
    else
      text[size++] = (char)(byte == 0 ? ' ' : byte);
  }
  return fuzz_copy(text, size);
}

/* Does a piece of the credential begin here? */
static bool begins(const char *text, const char *credential) {
  char piece[PIECE + 1] = "";
  if (strnlen(text, PIECE) < PIECE)
    return false;
  memcpy(piece, text, PIECE);
  return strstr(credential, piece) != NULL;
}

/* Stands this byte of the text in a piece of a credential? */
static bool is_secret(const char *text, size_t i, const char *key, const char *token) {
  for (size_t back = 0; back < PIECE && back <= i; back++)
    if (begins(text + i - back, key) || begins(text + i - back, token))
      return true;
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  struct fuzz_input in = {bytes, size};
  char *key = credential_from(&in), *token = credential_from(&in);
  char *text = text_from(&in, key, token);
  char *shown = fuzz_copy(text, strlen(text));
  struct akl_client *client = akl_client_new("http://127.0.0.1", &here);
  fuzz_must(client != NULL && akl_client_credentials(client, AKL_AUTH_KEY, key, key) &&
                akl_client_token(client, token),
            "memory suffices");
  akl_client_redact(client, shown);
  fuzz_must(strlen(shown) == strlen(text), "redacted text is as long as it was");
  for (size_t i = 0; text[i] != '\0'; i++) {
    bool secret = is_secret(text, i, key, token);
    fuzz_must(shown[i] == (secret ? '*' : text[i]),
              "credentials are hidden, and nothing else: \"%s\" became \"%s\"", text, shown);
  }
  akl_client_unref(client);
  free(shown);
  free(text);
  free(token);
  free(key);
  return 0;
}
