package paths

import (
	"github.com/hashicorp/vault/sdk/framework"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// The fields of the views of view.go. Each is joined from the same parts as its view.

var refAnswer = answer{
	"tenant_id":      {Type: framework.TypeString, Required: true, Description: "The tenant."},
	"provider":       {Type: framework.TypeString, Required: true, Description: "The provider's short name."},
	"credential_for": {Type: framework.TypeString, Required: true, Description: "What the ref is of.", AllowedValues: oneOf(tenant.Installation, tenant.User, tenant.Page, tenant.Static)},
	"user_id":        {Type: framework.TypeString, Description: "The application's id of the person, if the ref has one."},
	"page_id":        {Type: framework.TypeString, Description: "The provider's id of the page, if the ref has one."},
}

// statusAnswer is of every credential.
var statusAnswer = answer{
	"status": {Type: framework.TypeString, Required: true, Description: "active; needs_reauth, if only the person can help; revoked, if it was taken away; failed, if refreshing kept failing and the token has expired.",
		AllowedValues: oneOf(append([]store.Status{store.Active}, store.NotActive...)...)},
}

// publicAnswer is of a token, staticAnswer of a static credential.
var publicAnswer = joined(refAnswer, statusAnswer, answer{
	"name":                   {Type: framework.TypeString, Description: "A page's name, as of the last fetch."},
	"tasks":                  {Type: framework.TypeStringSlice, Description: "What the person may do on the page, in the provider's words."},
	"credential_type":        {Type: framework.TypeString, Required: true, Description: "The kind of credential.", AllowedValues: oneOf("oauth_token")},
	"token_type":             {Type: framework.TypeString, Required: true, Description: "How the token is presented (RFC 6750): bearer."},
	"provider_user_id":       {Type: framework.TypeString, Description: "The provider's id of the account."},
	"business_id":            {Type: framework.TypeString, Description: "The provider's id of the business that the token is for."},
	"scopes":                 {Type: framework.TypeStringSlice, Required: true, Description: "What was granted."},
	"missing_scopes":         {Type: framework.TypeStringSlice, Required: true, Description: "What was asked for and not granted."},
	"granular_scopes":        {Type: framework.TypeSlice, Description: "Scopes that were granted for some targets only: scope and target_ids of each."},
	"expires_at":             {Type: framework.TypeTime, Description: "When the token expires. Absent if it does not."},
	"data_access_expires_at": {Type: framework.TypeTime, Description: "When the app's access to the person's data ends, unless they connect again. Absent where that end does not apply to the granted scopes."},
	"ttl":                    {Type: framework.TypeInt64, Description: "In how many seconds the reader should come back: just after the next planned refresh. Absent, as are the next two, if none is planned."},
	"rotation_period":        {Type: framework.TypeInt64, Description: "How many seconds are from one planned refresh to the next."},
	"last_vault_rotation":    {Type: framework.TypeTime, Description: "When the token was last refreshed."},
})

var staticAnswer = joined(refAnswer, statusAnswer, answer{
	"name":            {Type: framework.TypeString, Required: true, Description: "The name of the static credential."},
	"credential_type": {Type: framework.TypeString, Required: true, Description: "The kind of credential.", AllowedValues: oneOf(store.APIKey, store.WebhookSecret)},
})

var credentialAnswer = joined(publicAnswer, answer{
	"access_token":    {Type: framework.TypeString, Required: true, Description: "The token, ready to use.", DisplayAttrs: secret("")},
	"appsecret_proof": {Type: framework.TypeString, Description: "Proves possession of the app secret beside the token: an HMAC-SHA256 of the token under it.", DisplayAttrs: secret("")},
	"appsecret_time":  {Type: framework.TypeInt64, Description: "With proof=now: the Unix time that the proof is stamped with, to be sent along."},
})

var staticCredentialAnswer = joined(staticAnswer, answer{
	"credential": {Type: framework.TypeString, Required: true, Description: "The API key or webhook secret, as it was written.", DisplayAttrs: secret("")},
})

// recordAnswer is of a record's own state.
var recordAnswer = answer{
	"ref":                  {Type: framework.TypeString, Required: true, Description: "What names the credential below creds/ and connections/."},
	"generation":           {Type: framework.TypeInt64, Required: true, Description: "How many tokens have been stored for this connection."},
	"consecutive_failures": {Type: framework.TypeInt, Required: true, Description: "How many tries to refresh it have failed since one succeeded."},
	"connected_by":         {Type: framework.TypeMap, Required: true, Description: "actor, entity_id and display_name of who connected it."},
	"connected_at":         {Type: framework.TypeTime, Description: "When it was connected."},
	"refreshed_at":         {Type: framework.TypeTime, Description: "When its token was last obtained."},
	"history":              {Type: framework.TypeSlice, Required: true, Description: "The last 20 outcomes: at, event and reason of each."},
}

var connectionAnswer = joined(publicAnswer, recordAnswer, answer{
	"checked_at":  {Type: framework.TypeTime, Description: "When the provider last said that the token is alive."},
	"next_due_at": {Type: framework.TypeTime, Description: "When it is next refreshed, checked or warned of."},
	"last_error":  {Type: framework.TypeMap, Description: "The last failure: class; concerns (app, account, page, business, token, request) and remedy (time, person, operator, developer); code, subcode, message, fbtrace_id and at."},
})

var staticConnectionAnswer = joined(staticAnswer, recordAnswer)

// removalAnswer is of an installation that is being removed, and of everything under it.
var removalAnswer = answer{
	"removal": {Type: framework.TypeMap, Description: "How far removing it has come, or the installation that it stands under: started_at, attempts, removed, unrevoked (a hundred refs at most) and unrevoked_count."},
}
