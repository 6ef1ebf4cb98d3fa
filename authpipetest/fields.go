package authpipetest

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// field is an entry of the parameter fields ("Using Fields", "Field Expansion"): accounts.limit(2){id,name} has the
// name accounts, the argument limit, and two fields.
type field struct {
	name   string
	as     string     // its name in the answer; empty: the same
	args   url.Values // limit, after, type, …
	fields []field    // nil: the default ones
	raw    string     // the text that fields were parsed from
}

// key is the field's name in the answer.
func (x field) key() string {
	if x.as != "" {
		return x.as
	}
	return x.name
}

// fieldDepth is how deep fields may be nested. Meta documents no limit.
const fieldDepth = 10

// fieldsOf parses the parameter fields, a list with commas or a JSON array of such lists. It returns nil if the text is
// empty.
func fieldsOf(text string) ([]field, error) {
	whole := text
	var array []string
	if strings.HasPrefix(strings.TrimSpace(text), "[") && json.Unmarshal([]byte(text), &array) == nil {
		whole = strings.Join(array, ",")
	}
	p := fieldParser{text: whole}
	fields := p.list(0)
	if p.at < len(p.text) {
		p.expect("end of string")
	}
	if p.expected != "" {
		return nil, p.refusal()
	}
	return fields, nil
}

// fieldParser parses the parameter fields from left to right.
type fieldParser struct {
	text     string
	at       int
	expected string // the first syntax error: what was expected; empty: no error
	missing  int    // position of that error
}

func (p *fieldParser) refusal() refusal {
	found := "end of string"
	if p.missing < len(p.text) {
		found = `"` + p.text[p.missing:p.missing+1] + `"`
	}
	return oauthError(codeQuery, `Syntax error "Expected %s instead of %s." at character %d: %s`, p.expected, found, p.missing, p.text)
}

// list parses fields up to the end of the text or a closing brace. Spaces separate fields too, as in a scope.
func (p *fieldParser) list(depth int) []field {
	var fields []field
	for p.expected == "" {
		p.skip(", \t\r\n")
		if p.at == len(p.text) || p.text[p.at] == '}' {
			return fields
		}
		fields = append(fields, p.field(depth))
	}
	return fields
}

func (p *fieldParser) field(depth int) field {
	x := field{name: p.name(), args: url.Values{}}
	for p.expected == "" && p.take('.') {
		argument := p.name()
		if !p.take('(') {
			p.expect(`"("`)
		}
		from := p.at
		for p.at < len(p.text) && p.text[p.at] != ')' {
			p.at++
		}
		value := p.text[from:p.at]
		if !p.take(')') {
			p.expect(`")"`)
		}
		if argument == "as" {
			x.as = value
		} else {
			x.args.Set(argument, value)
		}
	}
	if p.expected == "" && p.take('{') {
		if depth == fieldDepth {
			p.expect("fewer levels")
			return x
		}
		from := p.at
		x.fields = p.list(depth + 1)
		x.raw = p.text[from:p.at]
		if !p.take('}') {
			p.expect(`"}"`)
		}
	}
	return x
}

func (p *fieldParser) name() string {
	from := p.at
	for p.at < len(p.text) && (p.text[p.at] == '_' || p.text[p.at] == '-' || alphanumeric(p.text[p.at])) {
		p.at++
	}
	if from == p.at {
		p.expect("a name")
	}
	return p.text[from:p.at]
}

func alphanumeric(b byte) bool { return strings.IndexByte(alphanumerics, b) >= 0 }

func (p *fieldParser) take(b byte) bool {
	if p.at < len(p.text) && p.text[p.at] == b {
		p.at++
		return true
	}
	return false
}

func (p *fieldParser) skip(cutset string) {
	for p.at < len(p.text) && strings.IndexByte(cutset, p.text[p.at]) >= 0 {
		p.at++
	}
}

// expect records the first syntax error.
func (p *fieldParser) expect(what string) {
	if p.expected == "" {
		p.expected, p.missing = what, p.at
	}
}

// expansion computes the value of a field that may have arguments and fields of its own. A nil value is omitted from
// the answer.
type expansion func(field) (any, error)

// node is an object of the Graph API with all its fields. A call picks some of them.
type node struct {
	kind      string         // type name in the error about a nonexisting field
	byDefault []string       // fields that a call gets without the parameter fields
	known     string         // further fields that exist but are absent here, separated by spaces
	values    map[string]any // an expansion is evaluated; nil: the field exists and is absent
}

// pick returns the fields asked for, or the default ones, in order, and id.
func (n node) pick(asked []field) (object, error) {
	if asked == nil {
		for _, name := range n.byDefault {
			asked = append(asked, field{name: name})
		}
	}
	var picked object
	for _, x := range append(asked[:len(asked):len(asked)], field{name: "id"}) {
		value, exists := n.values[x.name]
		if !exists && !hasWord(n.known, x.name) {
			return nil, n.noSuchField(x.name)
		}
		if expand, expands := value.(expansion); expands {
			var err error
			if value, err = expand(x); err != nil {
				return nil, err
			}
		}
		if value != nil && !picked.has(x.key()) {
			picked = append(picked, member{x.key(), value})
		}
	}
	return picked, nil
}

// noSuchField refuses a field. User.username, which existed until 2014, has an error of its own.
func (n node) noSuchField(name string) refusal {
	if n.kind == "User" && name == "username" {
		return oauthError(12, "(#12) username field is deprecated for versions v2.0 and higher")
	}
	return noSuchField(name, n.kind)
}

// Fields that exist, according to the references "User", "Page", "Business" and "Page Post" and to Meta's Business SDKs
// (v24.0), which are generated from the API. A field without a value in the simulator is absent, as most are at
// Facebook.
const (
	userFieldNames = `about age_range birthday community cover currency education email favorite_athletes favorite_teams first_name
		gender hometown id id_for_avatars inspirational_people install_type installed is_guest_user is_work_account languages last_name
		link local_news_megaphone_dismiss_status local_news_subscription_status locale location meeting_for middle_name name
		name_format payment_pricepoints picture political profile_pic quotes relationship_status religion
		shared_login_upgrade_required_by short_name significant_other sports supports_donate_button_in_live_video third_party_id
		timezone token_for_business updated_time verified video_upload_limits website`
	pageFieldNames = `about access_token affiliation app_id artists_we_like attire awards band_interests band_members best_page bio
		birthday booking_agent built business can_checkin can_post category category_list checkins company_overview
		connected_instagram_account connected_page_backed_instagram_account contact_address country_page_likes cover culinary_team
		current_location delivery_and_pickup_option_info description description_html directed_by display_subtext
		displayed_message_response_time emails engagement fan_count featured_video features followers_count food_styles founded
		general_info general_manager genre global_brand_page_name global_brand_root_id has_added_app has_lead_access
		has_transitioned_to_new_page_experience has_whatsapp_business_number has_whatsapp_number hometown hours id impressum
		influences instagram_business_account is_always_open is_chain is_community_page is_eligible_for_branded_content
		is_messenger_bot_get_started_enabled is_messenger_platform_bot is_owned is_permanently_closed is_published is_unclaimed
		is_verified is_webhooks_subscribed keywords leadgen_tos_acceptance_time leadgen_tos_accepted leadgen_tos_accepting_user link
		location members merchant_id merchant_review_status messaging_feature_status messenger_ads_default_icebreakers
		messenger_ads_default_quick_replies messenger_ads_quick_replies_type mission mpg name name_with_location_descriptor network
		new_like_count offer_eligible overall_star_rating owner_business page_token parent_page parking payment_options personal_info
		personal_interests pharma_safety_info phone pickup_options picture place_type plot_outline preferred_audience press_contact
		price_range privacy_info_url produced_by products promotion_eligible promotion_ineligible_reason public_transit rating_count
		recipient record_label release_date restaurant_services restaurant_specialties schedule screenplay_by season
		single_line_address starring start_info store_code store_location_descriptor store_number studio
		supports_donate_button_in_live_video supports_instant_articles talking_about_count tasks temporary_status
		unread_message_count unread_notif_count unseen_message_count user_access_expire_time username verification_status voip_info
		website were_here_count whatsapp_number written_by`
	businessFieldNames = `block_offline_analytics collaborative_ads_managed_partner_business_info created_by created_time
		extended_updated_time id is_hidden link name payment_account_id primary_page profile_picture_uri timezone_id
		two_factor_type updated_by updated_time user_access_expire_time verification_status vertical vertical_id`
	postFieldNames = `actions admin_creator allowed_advertising_objectives application attachments backdated_time call_to_action
		can_reply_privately child_attachments comments coordinates created_time event expanded_height expanded_width feed_targeting
		from full_picture height icon id instagram_eligibility is_app_share is_eligible_for_promotion is_expired is_hidden
		is_inline_created is_instagram_eligible is_popular is_published is_spherical message message_tags multi_share_end_card
		multi_share_optimized parent_id permalink_url picture place privacy promotable_id promotion_status properties reactions
		scheduled_publish_time shares status_type story story_tags subscribed target targeting timeline_visibility updated_time via
		video_buying_eligibility width`
)

// userFieldPermissions are the permissions that fields of a person need ("Permissions Reference"). Without its
// permission a field is absent. Other fields of [User].Profile are public.
var userFieldPermissions = map[string]string{
	"age_range": "user_age_range", "birthday": "user_birthday", "email": "email", "favorite_athletes": "user_likes",
	"favorite_teams": "user_likes", "gender": "user_gender", "hometown": "user_hometown", "inspirational_people": "user_likes",
	"languages": "user_likes", "link": "user_link", "location": "user_location", "sports": "user_likes",
}

// pagePublicFields are the fields of a page that need no permission beyond pages_show_list. Fields about Instagram need
// instagram_basic, and all others pages_read_engagement ("Page").
const pagePublicFields = "access_token category category_list id link name picture tasks username"

func pageFieldPermission(name string) string {
	switch {
	case hasWord(pagePublicFields, name):
		return ""
	case strings.Contains(name, "instagram"):
		return "instagram_basic"
	}
	return "pages_read_engagement"
}

const listingLimit = 25

// listing is the answer of an edge ("Paginated Results").
type listing struct {
	Data   []object `json:"data"`
	Paging *paging  `json:"paging,omitempty"`
}

type paging struct {
	Cursors  cursors `json:"cursors"`
	Previous string  `json:"previous,omitempty"`
	Next     string  `json:"next,omitempty"` // absent: this was the last
}

type cursors struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

// edge is a request for a list: a call of its own, or a field of another call.
type edge struct {
	path   string     // of the list, with the id in place of me
	params url.Values // fields, limit, after and before, as they were sent
	fields []field

	endless bool // the list begins again after its end
}

// edgeOf reads a list request from the call's own parameters.
func (c *call) edgeOf(path string) (edge, error) {
	e := edge{path: path, params: url.Values{}}
	for _, name := range []string{"fields", "limit", "after", "before"} {
		if value := c.param(name); value != "" {
			e.params.Set(name, value)
		}
	}
	var err error
	e.fields, err = fieldsOf(c.param("fields"))
	return e, err
}

// edge is the list request that a field makes.
func (x field) edge(path string) edge {
	e := edge{path: path, params: url.Values{}, fields: x.fields}
	for name, values := range x.args {
		e.params[name] = values
	}
	if x.raw != "" {
		e.params.Set("fields", x.raw)
	}
	return e
}

// list returns the part of ids that e asks for. read makes a node of an id.
func (gr *graph) list(c *call, t *token, e edge, ids []string, read func(id string) node) (listing, error) {
	from, to := e.window(ids)
	l := listing{Data: []object{}}
	for _, id := range ids[from:to] {
		entry, err := read(id).pick(e.fields)
		if err != nil {
			return l, err
		}
		l.Data = append(l.Data, entry)
	}
	if from < to {
		l.Paging = gr.pagingOf(c, t, e, ids, from, to)
	}
	return l, nil
}

// expanded is the value of a field that is a list. Facebook omits an empty one.
func expanded(l listing, err error) (any, error) {
	if err != nil || len(l.Data) == 0 {
		return nil, err
	}
	return l, nil
}

// window returns the part of the list that limit, after and before select.
func (e edge) window(all []string) (from, to int) {
	limit := e.limit()
	to = len(all)
	if after := slices.Index(all, uncursor(e.params.Get("after"))); after >= 0 {
		from = after + 1
	}
	if before := slices.Index(all, uncursor(e.params.Get("before"))); before >= 0 {
		return max(0, before-limit), before
	}
	if e.endless && from == len(all) {
		from = 0
	}
	return from, min(to, from+limit)
}

// limit is how many entries the list may have.
func (e edge) limit() int {
	if limit, err := strconv.Atoi(e.params.Get("limit")); err == nil && limit > 0 {
		return limit
	}
	return listingLimit
}

func cursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func uncursor(s string) string {
	id, _ := base64.RawURLEncoding.DecodeString(s) // an invalid cursor matches no entry
	return string(id)
}

func (gr *graph) pagingOf(c *call, t *token, e edge, all []string, from, to int) *paging {
	p := &paging{Cursors: cursors{Before: cursor(all[from]), After: cursor(all[to-1])}}
	if from > 0 {
		p.Previous = gr.listingURL(c, t, e, "before", p.Cursors.Before)
	}
	if to < len(all) || e.endless {
		p.Next = gr.listingURL(c, t, e, "after", p.Cursors.After)
	}
	return p
}

// listingURL is the URL of the neighbouring part of the list. It has the token in the query, but no appsecret_proof: a
// client that needs one must add it.
func (gr *graph) listingURL(c *call, t *token, e edge, direction, at string) string {
	q := url.Values{"access_token": {t.value}, direction: {at}}
	for _, kept := range []string{"fields", "limit"} {
		if value := e.params.Get(kept); value != "" {
			q.Set(kept, value)
		}
	}
	return c.base() + "/" + gr.versionFor(c) + "/" + e.path + "?" + q.Encode()
}
