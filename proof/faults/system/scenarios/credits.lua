-- credits: the balance, with a key that is asked for when it is needed.
return {
  prepare = function() return {} end,
  run = function(_, given, connect)
    local client, err = connect { api_key = function() return given.key end }
    if not client then return nil, err end
    return client:credits()
  end,
  problem = function(_, report)
    if report.value and report.value ~= 1e9 then return "another balance than the service has" end
  end,
}
