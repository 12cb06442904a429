---@meta
-- What a plugin finds, for editors that read LuaLS annotations; nothing runs this file.
-- A test compares every name with a real VM.

---@class tyk.Header
---@field key string
---@field values string[]

---@class tyk.ReturnOverrides
---@field response_code integer Above 0: the hook answers the client; starts as -1.
---@field response_error string The message of an error; wins over `response_body`.
---@field response_body string
---@field override_error boolean Sends the body as it is, also with a status of 400 and above.
---@field headers table<string, string>

---@class tyk.Request
---@field headers table<string, string> First value of each header; editing has no effect.
---@field multivalue_headers tyk.Header[] All values of each header; editing has no effect.
---@field set_headers table<string, string>
---@field delete_headers string[]
---@field params table<string, string> The query, decoded; editing has no effect.
---@field add_params table<string, string>
---@field delete_params string[]
---@field extended_params table<string, string>
---@field url string Path and query.
---@field request_uri string The target as received; editing has no effect.
---@field method string
---@field scheme string `http` or `https`; editing has no effect.
---@field body string The body where it is UTF-8; editing has no effect.
---@field raw_body string The body's bytes.
---@field return_overrides tyk.ReturnOverrides
---@field client_address string? Editing has no effect.
---@field listen_path string Editing has no effect.
---@field request_id string Editing has no effect.
---@field client_certificate table<string, string> Empty where the client has shown none; editing has no effect.
---@field get_header fun(self: tyk.Request, name: string): string?
---@field set_header fun(self: tyk.Request, name: string, value: string|number)
---@field add_header fun(self: tyk.Request, name: string, value: string|number)
---@field delete_header fun(self: tyk.Request, name: string)
---@field add_param fun(self: tyk.Request, name: string, value: string|number)
---@field delete_param fun(self: tyk.Request, name: string)

---@class tyk.Response
---@field status_code integer
---@field headers table<string, string> First value of each header; nil removes one.
---@field multivalue_headers tyk.Header[]
---@field body string The body where it is UTF-8; editing has no effect.
---@field raw_body string

---@class tyk.AccessSpec
---@field url string
---@field methods string[]

---@class tyk.AccessDefinition
---@field api_name string
---@field api_id string
---@field versions string[]
---@field allowed_urls tyk.AccessSpec[]

---@class tyk.Session
---@field last_check integer
---@field allowance number
---@field rate number
---@field per number
---@field expires integer
---@field quota_max integer
---@field quota_renews integer
---@field quota_remaining integer
---@field quota_renewal_rate integer
---@field access_rights table<string, tyk.AccessDefinition>
---@field org_id string
---@field oauth_client_id string
---@field oauth_keys table<string, string>
---@field basic_auth_data { password: string, hash: string }
---@field jwt_data { secret: string }
---@field hmac_enabled boolean
---@field hmac_secret string
---@field is_inactive boolean
---@field apply_policy_id string
---@field data_expires integer
---@field monitor { trigger_limits: number[] }
---@field enable_detailed_recording boolean
---@field metadata table<string, string>
---@field tags string[]
---@field alias string
---@field last_updated string
---@field id_extractor_deadline integer
---@field session_lifetime integer
---@field apply_policies string[]
---@field certificate string
---@field max_query_depth integer
---@field key_id string
---@field post_expiry_action string
---@field post_expiry_grace_period integer

---@class tyk.Object
---@field hook_type integer 1 pre, 2 post, 3 post_key_auth, 4 auth_check, 5 response.
---@field hook_name string
---@field request tyk.Request
---@field response tyk.Response? In response hooks.
---@field session tyk.Session
---@field metadata table<string, string>
---@field spec table<string, string>

---@class tyk.Req
---@field get_headers fun(): table<string, string>
---@field get_header fun(name: string): string?
---@field set_header fun(name: string, value: string|number)
---@field clear_header fun(name: string)
---@field start_time fun(): number Seconds since 1970.
---@field http_version fun(): number

---@class tyk.Lib
---@field req tyk.Req
---@field session table Empty at the start of each call.
---@field header any nil at the start of each call.
---@field log fun(message: any, level?: "debug"|"info"|"warning"|"error")
---@field log_error fun(message: any)
---@field store_data fun(key: string, value: string, ttl?: integer): boolean, string?
---@field get_data fun(key: string): string?, string?
---@field trigger_event fun(name: string, payload: string)

---@type tyk.Lib
tyk = {}

---@type tyk.Object
object = {}
