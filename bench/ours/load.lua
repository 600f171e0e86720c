-- load.lua: what it takes to load the library and make its engine.

local before = os.clock()
require "akool.lipsync"
require "akool.lipsync.core".engine()
local cpu = os.clock() - before

package.path = "bench/?.lua;" .. package.path
require "usage".report { cpu = cpu }
