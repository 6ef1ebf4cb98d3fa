package pages_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestPortfolioPageIsListedAndServed(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Facebook.AddBusiness(authpipetest.Business{ID: "55", Name: "Agency"})
	e.Facebook.SetPortfolio("777", "55")
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"777", "778"}})
	list := e.Must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)
	if diff := cmp.Diff([]string{"777", "778"}, list["keys"]); diff != "" {
		t.Error(diff)
	}
	c := e.Read("creds/" + enginetest.Page777)
	if token, _ := e.Facebook.Inspect(c["access_token"].(string)); token.Kind != authpipetest.KindPage || token.Page != "777" {
		t.Errorf("served is %+v", token)
	}
}

func TestEmptyListKeepsPages(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada", Pages: []string{"777", "778"}})
	first := e.Read("creds/" + enginetest.Page777)["access_token"]
	e.Facebook.SetPageList("", authpipetest.PageList{Empty: -1})
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Page777+"/refresh", nil) // lists the pages
	if got := e.Read("creds/" + enginetest.Page777)["access_token"]; got != first {
		t.Error("another token is served")
	}
	if diff := cmp.Diff([]string{"777", "778"}, e.Must(logical.ListOperation, "creds/org_acme/facebook/pages/", nil)["keys"]); diff != "" {
		t.Error(diff)
	}
}
