-- download.lua URL PATH [CA_FILE]: one download through the library, and what it took.

package.path = "bench/?.lua;" .. package.path

local core = require "akool.lipsync.core"
local lipsync = require "akool.lipsync"
local usage = require "usage"

local url, path, ca_file = arg[1], arg[2], arg[3]

local client = assert(lipsync.new { api_key = "bench", base_url = url:match("^%w+://[^/]+"),
  ca_file = ca_file })
core.engine()

local idle, began, cpu = usage.rss(), core.now(), os.clock()
local file = assert(client:download({ id = "66160f989dfc997ac289037b", status = "completed",
  video = url }, path))
usage.report { bytes = file.bytes, seconds = core.now() - began, cpu = os.clock() - cpu,
  grown_kb = usage.peak_rss() - idle }
