/* crypto: see crypto.h. An akl_sha256 is libcrypto's own context under our name. */
#include "crypto.h"

#include <openssl/crypto.h> /* OPENSSL_cleanse */
#include <openssl/evp.h>    /* EVP_DigestUpdate */

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
  static const char digits[] = "0123456789abcdef";
  unsigned char digest[AKL_SHA256_HEX / 2];
  if (EVP_DigestFinal_ex(context(d), digest, NULL) != 1)
    return false;
  for (size_t i = 0; i < sizeof digest; i++) {
    hex[2 * i] = digits[digest[i] >> 4];
    hex[2 * i + 1] = digits[digest[i] & 15];
  }
  hex[AKL_SHA256_HEX] = '\0';
  return true;
}

void akl_sha256_free(struct akl_sha256 *d) {
  EVP_MD_CTX_free(context(d));
}

void akl_wipe(void *secret, size_t size) {
  OPENSSL_cleanse(secret, size);
}
