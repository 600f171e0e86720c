--- kills: workers of a batch are killed at random instants, each while it goes on with what the one
--- before left, until all rows are over; and then it is judged whether that cost anything. Meanwhile
--- answers of the service are lost, and some of its jobs fail.
---
---   local tally = kills.tally(seed)
---   repeat kills.round(shop, tally) until tally.kills >= 100

local audit = require "support.audit"
local workshop = require "support.workshop"

local kills = {}

local FAILING = 6 -- the job of every row whose number divides by this one fails
local GROWTH = 1.02 -- of the time that a worker may live, from kill to kill: every round comes to an end

---@class spec.kills.tally
---@field random fun(): number
---@field kills integer
---@field rounds integer
---@field rows integer                    # of all rounds
---@field moments table<string, integer>  # how many kills left rows in the middle of this
---@field states table<string, integer>   # of rows that are over
---@field problems string[]
---@field window number?                  # s, in which kills come: what an undisturbed worker takes

--- Nothing has happened yet.
---@param seed integer
---@return spec.kills.tally
function kills.tally(seed)
  return { random = workshop.random(seed), kills = 0, rounds = 0, rows = 0, moments = {},
    states = {}, problems = {} }
end

local function count(list, word, many)
  list[word] = (list[word] or 0) + (many or 1)
end

--- How long a worker takes that nothing disturbs.
local function measure(shop)
  shop:open()
  local worker = shop:start()
  shop:wait(worker)
  assert(not shop:was_killed(worker))
  return worker.seconds
end

--- Answers that will be lost: of a create that was carried out, of one that was not, of a question, and
--- in the middle of a film.
local function disturb(shop, random)
  local function fail(at, among, how)
    how.at, how.skip = at, math.floor(random() * among)
    assert(shop.service:fail(how))
  end
  fail("create", shop.rows, { reset = "after" })
  fail("create", shop.rows, { close = "during" })
  fail("info", 2 * shop.rows, { reset = "after" })
  fail("file", shop.rows, { cut = 5000, with = "rst" })
  fail("file", 1, { drip = { bytes = 4096, every = 0.002 }, times = "always" })
end

--- Some jobs fail. Nobody has seen them completed: no worker is alive.
local function fail_jobs(shop)
  for _, job in ipairs(shop.service:jobs()) do
    local number = tonumber(job.target_video:match "row%-(%d+)")
    if number % FAILING == 0 and job.video_status < 3 then
      assert(shop.service:set(job._id, { video_status = 4 }))
    end
  end
end

--- Start a worker and kill it. Returns whether all rows are over.
local function kill_one(shop, tally, window)
  local worker = shop:start()
  shop:kill_after(worker, tally.random() * window)
  shop:wait(worker)
  if not shop:was_killed(worker) then return true end
  tally.kills = tally.kills + 1
  fail_jobs(shop)
  local moments, over = audit.left(shop)
  for word in pairs(moments) do count(tally.moments, word) end
  return over
end

--- One batch, from its beginning until all its rows are over.
---@param shop spec.workshop
---@param tally spec.kills.tally
function kills.round(shop, tally)
  tally.window = tally.window or measure(shop)
  local window = tally.window
  shop:open()
  disturb(shop, tally.random)
  while not kill_one(shop, tally, window) do window = window * GROWTH end
  local problems, states = audit.problems(shop)
  tally.rounds, tally.rows = tally.rounds + 1, tally.rows + shop.rows
  for state, many in pairs(states) do count(tally.states, state, many) end
  for _, problem in ipairs(problems) do
    table.insert(tally.problems, ("round %d, %s"):format(tally.rounds, problem))
  end
end

return kills
