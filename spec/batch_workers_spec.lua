-- Many workers share one ledger: each job is created once, whoever does it, even while workers are killed
-- and others take their place. What a dead one was submitting is unknown; the rest is done by others.

local audit = require "support.audit"
local postgres = require "support.postgres"
local workshop = require "support.workshop"

local LEASE = 2 -- seconds: so long nobody touches what a dead worker had

--- Run so many workers at once, and put a new one in the place of a killed one whenever the service has
--- received another `each` creates. Returns how many were killed.
local function run_workers(shop, count, each)
  local random, workers, killed = workshop.random(7), {}, 0
  for i = 1, count do workers[i] = shop:start() end
  assert(workshop.turn_until(function()
    local alive = {}
    for i, worker in ipairs(workers) do
      if not worker.code then alive[#alive + 1] = i end
    end
    if #alive > 0 and shop.service:count "create" >= each * (killed + 1) then
      local i = alive[1 + math.floor(random() * #alive)]
      killed = killed + 1
      shop:kill_after(workers[i], 0)
      shop:wait(workers[i])
      workers[i] = shop:start()
    end
    return #alive == 0
  end))
  for _, worker in ipairs(workers) do assert.is_false(shop:was_killed(worker)) end
  return killed
end

local function check(options, count, each)
  local shop = workshop.new(options)
  finally(function() shop:close() end)
  shop:open()
  local killed = run_workers(shop, count, each)
  local problems, states = audit.problems(shop)
  assert.are.same({}, problems)
  assert.are.equal(options.rows, states.done + (states.unknown or 0))
  assert.is_true(killed >= options.rows / each / 2)
  -- A dead worker was submitting at most as many as may be at the service at once.
  assert.is_true((states.unknown or 0) <= killed * options.concurrency)
end

describe("many workers with one ledger", function()
  local server
  setup(function() server = postgres.start() end)
  teardown(function() server:stop() end)

  it("create each of 500 jobs once, eight of them with a server", function()
    check({ rows = 500, concurrency = 16, lease = LEASE,
      database = function() return server:scratch_database() end }, 8, 40)
  end)

  it("create each of 100 jobs once, four of them with a file", function()
    check({ rows = 100, concurrency = 8, lease = LEASE }, 4, 20)
  end)
end)
