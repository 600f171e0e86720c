-- cli, doctor: one report of what the other commands need, good or bad.

local cjson = require "cjson"
local fixture = require "support.fixture"
local program = require "support.program"

describe("akool-lipsync doctor", function()
  local t = fixture.new()
  local akool = program.new(t)

  --- The checks by their names, and the status.
  local function report(arguments, environment)
    table.insert(arguments, 1, "doctor")
    arguments[#arguments + 1] = "--json"
    local said = akool.run(arguments, { environment = environment })
    local checks, document = {}, cjson.decode(said.out)
    for _, check in ipairs(document.checks) do checks[check.name] = check end
    assert.equal(said.status, document.exit)
    return checks, said.status
  end

  it("finds nothing wrong where nothing is, and pays nothing", function()
    local said = akool.run { "doctor" }
    assert.equal(0, said.status)
    for _, line in ipairs { "ok    akool%-lipsync  %d", "ok    TLS            OpenSSL",
      "ok    connection     http", "ok    clock", "ok    key", "ok    credits        1000" } do
      assert.truthy(said.out:find(line), said.out)
    end
    assert.is_nil(said.out:find "fail")
    assert.equal(0, t.service:count "create")
  end)

  it("says which key is missing, or refused", function()
    local checks, status = report({}, { AKOOL_API_KEY = false })
    assert.same({ "fail", 2 }, { checks.credentials.state, status })
    assert.truthy(checks.credentials.message:find("AKOOL_API_KEY", 1, true))
    checks, status = report({}, { AKOOL_API_KEY = "another" })
    assert.same({ "ok", "fail", 3 }, { checks.connection.state, checks.key.state, status })
  end)

  it("says that the service cannot be reached", function()
    local checks, status = report({ "--max-retries", "0" },
      { AKOOL_BASE_URL = "http://127.0.0.1:1" })
    assert.same({ "fail", 6 }, { checks.connection.state, status })
  end)

  it("compares the clocks", function()
    t.service:fail { at = "credits", headers = { Date = "Sun, 06 Nov 1994 08:49:37 GMT" },
      carry_out = true }
    local checks, status = report {}
    assert.same({ "warn", 0 }, { checks.clock.state, status })
    assert.truthy(checks.clock.message:find("ahead of the service's", 1, true))
  end)

  it("warns when the credits are used up", function()
    t.service:fail { at = "credits", data = { credit = 0 } }
    assert.equal("warn", report({}).credits.state)
  end)
end)
