/* old_libcurl: preloaded into a program, it has libcurl say that it is older than it is. */
#include <curl/curl.h>

curl_version_info_data *curl_version_info(CURLversion now) {
  static curl_version_info_data old = {.version = "7.73.0", .version_num = 0x074900};
  old.age = now;
  return &old;
}
