---@meta cjson
-- The module `cjson`, for editors that read LuaLS annotations; nothing runs this file.

---@class cjson.Lib
---@field _NAME string
---@field _VERSION string
---@field null lightuserdata
---@field empty_array lightuserdata
---@field array_mt table
---@field empty_array_mt table
---@field encode fun(value: any): string
---@field decode fun(text: string): any
---@field new fun(): cjson.Lib
---@field encode_empty_table_as_object fun(flag?: boolean): boolean
---@field encode_escape_forward_slash fun(flag?: boolean): boolean
---@field encode_number_precision fun(digits?: integer): integer
---@field encode_sparse_array fun(convert?: boolean, ratio?: integer, safe?: integer): boolean, integer, integer
---@field encode_max_depth fun(depth?: integer): integer
---@field encode_invalid_numbers fun(how?: false|"null"): false|"null"
---@field encode_keep_buffer fun(flag?: boolean): boolean
---@field decode_max_depth fun(depth?: integer): integer
---@field decode_array_with_array_mt fun(flag?: boolean): boolean
---@field decode_invalid_numbers fun(flag?: false): boolean

---@type cjson.Lib
local cjson = {}

return cjson
