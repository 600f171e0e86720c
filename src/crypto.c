/* crypto: see crypto.h. An akl_sha256 is libcrypto's own context under our name. */
#include "crypto.h"

#include <openssl/crypto.h> /* OPENSSL_cleanse */
#include <openssl/evp.h>    /* EVP_DigestUpdate */
#include <stdlib.h>         /* free */
#include <string.h>         /* strchr */

static void write_hex(const unsigned char *digest, size_t size, char *hex) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < size; i++) {
    hex[2 * i] = digits[digest[i] >> 4];
    hex[2 * i + 1] = digits[digest[i] & 15];
  }
  hex[2 * size] = '\0';
}

static EVP_MD_CTX *context(struct akl_sha256 *d) {
  return (EVP_MD_CTX *)(void *)d;
}

struct akl_sha256 *akl_sha256_new(void) {
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  if (c == NULL || EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1)
    return (struct akl_sha256 *)(void *)c;
  EVP_MD_CTX_free(c);
  return NULL;
}

bool akl_sha256_update(struct akl_sha256 *d, const void *data, size_t size) {
  return EVP_DigestUpdate(context(d), data, size) == 1;
}

bool akl_sha256_finish(struct akl_sha256 *d, char hex[AKL_SHA256_HEX + 1]) {
  unsigned char digest[AKL_SHA256_HEX / 2];
  if (EVP_DigestFinal_ex(context(d), digest, NULL) != 1)
    return false;
  write_hex(digest, sizeof digest, hex);
  return true;
}

void akl_sha256_free(struct akl_sha256 *d) {
  EVP_MD_CTX_free(context(d));
}

bool akl_sha1(const struct akl_piece *pieces, size_t count, char hex[AKL_SHA1_HEX + 1]) {
  unsigned char digest[AKL_SHA1_HEX / 2] = {0};
  EVP_MD_CTX *c = EVP_MD_CTX_new();
  bool fine = c != NULL && EVP_DigestInit_ex(c, EVP_sha1(), NULL) == 1;
  for (size_t i = 0; i < count; i++)
    fine = fine && EVP_DigestUpdate(c, pieces[i].bytes, pieces[i].size) == 1;
  fine = fine && EVP_DigestFinal_ex(c, digest, NULL) == 1;
  EVP_MD_CTX_free(c);
  write_hex(digest, sizeof digest, hex);
  return fine;
}

bool akl_aes_cbc(bool encrypt, const struct akl_piece *key, const unsigned char iv[AKL_AES_BLOCK],
                 const unsigned char *in, size_t size, unsigned char *out) {
  const EVP_CIPHER *cipher = key->size == 16   ? EVP_aes_128_cbc()
                             : key->size == 24 ? EVP_aes_192_cbc()
                                               : EVP_aes_256_cbc();
  int length = 0;
  EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
  bool fine = c != NULL && EVP_CipherInit_ex(c, cipher, NULL, key->bytes, iv, encrypt) == 1 &&
              EVP_CIPHER_CTX_set_padding(c, 0) == 1 &&
              EVP_CipherUpdate(c, out, &length, in, (int)size) == 1;
  EVP_CIPHER_CTX_free(c); /* wipes the key */
  return fine && (size_t)length == size;
}

/* From EVP_DecodeBlock(3): the length "is always a multiple of 3", so padding counts as zero bytes; and
** white space around the text is passed over, so that has to be looked for. So are the bits of the
** last character that mean nothing: bytes have one text only (RFC 4648, 3.5). */
long akl_base64_decode(const char *text, size_t size, unsigned char *out) {
  static const char *const last[] = {"", "AEIMQUYcgkosw048", "AQgw"};
  size_t padding = size >= 2 && text[size - 1] == '=' ? (text[size - 2] == '=' ? 2 : 1) : 0;
  if (size % 4 != 0)
    return -1;
  for (size_t i = 0; i < size - padding; i++) {
    char c = text[i];
    if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
          c == '/'))
      return -1;
  }
  if (padding > 0 && strchr(last[padding], text[size - padding - 1]) == NULL)
    return -1;
  return EVP_DecodeBlock(out, (const unsigned char *)text, (int)size) - (long)padding;
}

void akl_base64_encode(const unsigned char *bytes, size_t size, char *out) {
  (void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)size);
}

bool akl_equal(const void *one, const void *other, size_t size) {
  return CRYPTO_memcmp(one, other, size) == 0;
}

void akl_wipe(void *secret, size_t size) {
  OPENSSL_cleanse(secret, size);
}

void akl_wipe_string(char *secret) {
  if (secret != NULL)
    akl_wipe(secret, strlen(secret));
  free(secret);
}
