-- A batch whose workers are killed, at any instant and again and again, comes to its end: each worker goes
-- on with what the one before left. No job is lost or paid twice, and no film is in pieces. (A thousand
-- kills, and one at every system call: ./dev kill.)

local kills = require "support.kills"
local postgres = require "support.postgres"
local workshop = require "support.workshop"

local KILLS = 50
local SEED = 20

--- Kill workers of one batch after the other, and look at what came of each.
local function kill_all(database)
  local shop = workshop.new { rows = 12, lease = 0.1, database = database }
  finally(function() shop:close() end)
  local tally = kills.tally(SEED)
  repeat kills.round(shop, tally) until tally.kills >= KILLS
  assert.are.same({}, tally.problems)
  local states = tally.states
  assert.are.equal(tally.rows, (states.done or 0) + (states.failed or 0) + (states.unknown or 0))
  assert.is_true((states.done or 0) > 0) -- how many are unknown is a matter of chance
end

describe("a batch whose workers are killed", function()
  local server
  setup(function() server = postgres.start() end)
  teardown(function() server:stop() end)

  it("is done or honestly unknown in the end, with a ledger in a file", function()
    kill_all()
  end)

  it("is done or honestly unknown in the end, with a ledger on a server", function()
    kill_all(function() return server:scratch_database() end)
  end)
end)
