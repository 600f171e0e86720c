-- webhook.lua own|luv DELIVERIES CONCURRENCY: a receiver, in the library's loop or in luv's, to which
-- another process posts; see deliverer.lua. Memory is taken after half of the deliveries and at the end,
-- with nothing left to collect.

package.path = "bench/?.lua;" .. package.path

local lipsync = require "akool.lipsync"
local origin = require "origin"
local usage = require "usage"
local uv = require "luv"
local webhook = require "akool.lipsync.webhook"

local how, deliveries, concurrency = arg[1], tonumber(arg[2]), arg[3]

if how == "luv" then lipsync.use "luv" end

local function settled()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count", usage.rss()
end

local told, twice, of, heap, rss = 0, 0, {}, nil, nil
for i = 1, deliveries do of[("%024x"):format(i)] = false end -- no growth of ours

local receiver = assert(webhook.listen { client_id = "bench", client_secret = ("s"):rep(32),
  max_connections = 1000, on_event = function(event)
    if of[event.id] then twice = twice + 1 end
    of[event.id], told = true, told + 1
    if told == deliveries / 2 then heap, rss = settled() end
  end })

local said, over, output = "", false, uv.new_pipe(false)
local words = origin.pinned(0, { "lua5.4", "-e",
  ("package.path = %q"):format(package.path), "bench/deliverer.lua", tostring(receiver.port),
  arg[2], concurrency })
local process = assert(uv.spawn(words[1], { args = { table.unpack(words, 2) },
  stdio = { nil, output, 2 } }, function() over = true end))
output:read_start(function(_, bytes) said = said .. (bytes or "") end)

local cpu = os.clock()
lipsync.run(function() while not over do lipsync.sleep(0.01) end end)
cpu = os.clock() - cpu

local last_heap, last_rss = settled()
process:close()
output:close()
receiver:close()

local function its(name) return tonumber(said:match('"' .. name .. '":([%d.]+)')) end
usage.report { told = told, twice = twice, cpu = cpu, posted = its "posted", good = its "good",
  seconds = its "seconds", heap_kb = last_heap - heap, rss_kb = last_rss - rss }
