/* delivery: see delivery.h. */
#include "delivery.h"

#include <limits.h> /* CHAR_BIT, UCHAR_MAX */
#include <stdlib.h> /* malloc, qsort */
#include <string.h> /* memcpy */

enum { PADDING_MAX = 32 }; /* blocks of 16 in practice, of 24 by the documentation */

bool akl_delivery_key_fits(size_t size) {
  return size == 16 || size == 24 || size == 32;
}

size_t akl_delivery_opened_room(size_t sealed) {
  return sealed / 4 * 3 + AKL_AES_BLOCK;
}

static size_t padded(size_t size) {
  return (size / AKL_AES_BLOCK + 1) * AKL_AES_BLOCK;
}

size_t akl_delivery_sealed_room(size_t text) {
  return (padded(text) + 2) / 3 * 4 + 1;
}

static int compare(const void *a, const void *b) {
  const struct akl_piece *one = a, *other = b;
  size_t size = one->size < other->size ? one->size : other->size;
  int order = size == 0 ? 0 : memcmp(one->bytes, other->bytes, size);
  return order != 0 ? order : (one->size > other->size) - (one->size < other->size);
}

/* "the four strings … sorted, joined": the parameters' values in the order of their bytes. */
static bool sign(const struct akl_sealing *s, struct akl_piece sealed,
                 char signature[AKL_SHA1_HEX + 1]) {
  struct akl_piece pieces[] = {s->client_id, s->timestamp, s->nonce, sealed};
  size_t count = sizeof pieces / sizeof pieces[0];
  qsort(pieces, count, sizeof pieces[0], compare);
  return akl_sha1(pieces, count, signature);
}

static void make_iv(const struct akl_sealing *s, unsigned char iv[AKL_AES_BLOCK]) {
  size_t size = s->client_id.size < AKL_AES_BLOCK ? s->client_id.size : AKL_AES_BLOCK;
  memset(iv, 0, AKL_AES_BLOCK);
  memcpy(iv, s->client_id.bytes, size);
}

/* All ones if 'one' is below 'other', else zero. */
static size_t mask_below(size_t one, size_t other) {
  return (size_t)0 - ((one - other) >> (sizeof one * CHAR_BIT - 1)); /* both are small */
}

/* How many bytes of padding end the text, 0 if they are not what padding is. Takes the same steps
** whatever they are: no branch depends on them. */
static size_t padding_of(const unsigned char *text, size_t size) {
  size_t most = size < PADDING_MAX ? size : PADDING_MAX;
  size_t claimed = text[size - 1];
  size_t wrong = mask_below(claimed, 1) | mask_below(most, claimed);
  for (size_t i = 0; i < most; i++)
    wrong |= mask_below(i, claimed) & (text[size - 1 - i] ^ claimed);
  return claimed & mask_below(wrong & UCHAR_MAX, 1);
}

bool akl_delivery_open(const struct akl_sealing *s, struct akl_piece signature,
                       struct akl_piece sealed, unsigned char *out, size_t *size, bool *starved) {
  unsigned char iv[AKL_AES_BLOCK];
  char expected[AKL_SHA1_HEX + 1];
  unsigned char *cipher = calloc(1, akl_delivery_opened_room(sealed.size));
  *size = 0;
  *starved = cipher == NULL || !sign(s, sealed, expected);
  if (*starved) {
    free(cipher);
    return false;
  }
  bool fine = signature.size == AKL_SHA1_HEX;
  fine &= akl_equal(fine ? signature.bytes : expected, expected, AKL_SHA1_HEX);
  akl_wipe(expected, sizeof expected);
  long length = akl_base64_decode(sealed.bytes, sealed.size, cipher);
  bool whole = length > 0 && length % AKL_AES_BLOCK == 0;
  fine &= whole;
  *size = whole ? (size_t)length : AKL_AES_BLOCK; /* something to work on, in any case */
  make_iv(s, iv);
  *starved = !akl_aes_cbc(false, &s->client_secret, iv, cipher, *size, out);
  free(cipher);
  if (*starved)
    return false;
  size_t padding = padding_of(out, *size);
  *size -= padding;
  return fine && padding > 0;
}

bool akl_delivery_seal(const struct akl_sealing *s, struct akl_piece text, char *out,
                       char signature[AKL_SHA1_HEX + 1]) {
  unsigned char iv[AKL_AES_BLOCK];
  size_t size = padded(text.size);
  unsigned char *plain = malloc(2 * size);
  if (plain == NULL)
    return false;
  unsigned char *cipher = plain + size;
  memcpy(plain, text.bytes, text.size);
  memset(plain + text.size, (int)(size - text.size), size - text.size);
  make_iv(s, iv);
  bool fine = akl_aes_cbc(true, &s->client_secret, iv, plain, size, cipher);
  if (fine)
    akl_base64_encode(cipher, size, out);
  akl_wipe(plain, size);
  free(plain);
  return fine && sign(s, (struct akl_piece){out, strlen(out)}, signature);
}
