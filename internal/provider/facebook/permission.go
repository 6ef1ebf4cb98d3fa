package facebook

import (
	"regexp"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// permissions are those that Meta documents ("Permissions Reference", as of
// November 2026), and openid ("Facebook Login with OpenID Connect").
var permissions = strings.Fields(`
	ads_management ads_read attribution_read business_management
	catalog_management
	commerce_account_manage_orders commerce_account_read_orders commerce_account_read_reports commerce_account_read_settings commerce_manage_accounts
	email facebook_branded_content_ads_brand facebook_branded_content_ads_creator facebook_creator_marketplace_discovery
	gaming_user_locale
	instagram_basic instagram_branded_content_ads_brand instagram_branded_content_brand instagram_branded_content_creator
	instagram_content_publish instagram_creator_marketplace_discovery instagram_creator_marketplace_messaging
	instagram_manage_comments instagram_manage_contents instagram_manage_events instagram_manage_insights instagram_manage_messages
	instagram_manage_upcoming_events instagram_shopping_tag_products
	leads_retrieval manage_app_solution manage_app_solutions manage_fundraisers
	openid page_events
	pages_manage_ads pages_manage_cta pages_manage_engagement pages_manage_instant_articles pages_manage_metadata pages_manage_posts
	pages_messaging pages_read_engagement pages_read_user_content pages_show_list pages_user_gender pages_user_locale pages_user_timezone
	paid_marketing_messages private_computation_access public_profile publish_video
	read_audience_network_insights read_insights
	threads_business_basic threads_basic threads_content_publish threads_delete threads_keyword_search threads_location_tagging threads_manage_insights
	threads_manage_mentions threads_manage_replies threads_profile_discovery threads_read_replies
	user_age_range user_birthday user_friends user_gender user_hometown user_likes user_link user_location user_messenger_contact user_photos user_posts user_videos
	whatsapp_business_manage_events whatsapp_business_management whatsapp_business_messaging
`)

// Scopes implements [provider.ScopeLister].
func (*Provider) Scopes() []string { return permissions }

var versionForm = regexp.MustCompile(`^v[1-9][0-9]{0,2}\.[0-9]{1,2}$`)

// CheckClient implements [provider.ClientChecker].
func (*Provider) CheckClient(c oauth.Client) error {
	switch {
	case c.APIVersion != "" && !versionForm.MatchString(c.APIVersion):
		return oauth.Invalid("graph_version", "must be a v and two numbers, such as v27.0")
	case len(c.ID) > maxID || strings.Trim(c.ID, "0123456789") != "":
		return oauth.Invalid("client_id", "must be decimal digits: copy the App ID from App settings, Basic, in Meta's App Dashboard; the app's name and its secret are something else")
	}
	return nil
}
