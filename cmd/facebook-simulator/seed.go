package main

import "github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"

// seeded makes a Facebook with the app of the flags and a few people.
func seeded(c config) *authpipetest.Facebook {
	fb := authpipetest.NewFacebook(c.options)
	c.app.Name = "Demo"
	fb.AddApp(c.app)
	fb.AddPage(authpipetest.Page{
		ID: "100000000000777", Name: "Ada's Bakery", Username: "adas.bakery", Instagram: "17841400000000777",
		Fields: map[string]any{"about": "Bread since 1990", "fan_count": 1204, "followers_count": 1250, "website": "https://bakery.example/"},
	})
	fb.AddPage(authpipetest.Page{ID: "100000000000888", Name: "Ada's Bookshop"})
	fb.AddUser(authpipetest.User{
		ID: "ada", Name: "Ada Admin", Email: "ada@example.com", Pages: []string{"100000000000777", "100000000000888"},
		Profile: map[string]any{
			"birthday": "05/16/1990", "gender": "female", "age_range": map[string]int{"min": 21},
			"location": map[string]string{"id": "110868505604409", "name": "Zurich, Switzerland"},
		},
	})
	fb.AddBusiness(authpipetest.Business{
		ID: businessID, Name: "Ada's Group", Admins: []string{"ada"}, Pages: []string{"100000000000777", "100000000000888"},
	})
	fb.AddConfiguration(authpipetest.Configuration{
		ID: configID, App: c.app.ID, Permissions: []string{"business_management", "pages_show_list", "pages_read_engagement", "pages_manage_posts"},
	})
	fb.AddBusiness(authpipetest.Business{ID: agencyID, Name: "Pia's Agency", Admins: []string{"pia"}})
	fb.AddPage(authpipetest.Page{ID: "100000000000991", Name: "Pia's Diary"})
	fb.AddPage(authpipetest.Page{ID: "100000000000992", Name: "Client of the Agency", Portfolio: agencyID})
	fb.AddPage(authpipetest.Page{ID: "100000000000993", Name: "Closed Client of the Agency", Portfolio: agencyID, NeedsBusinessManagement: true})
	fb.AddUser(authpipetest.User{
		ID: "pia", Name: "Pia Portfolio", Email: "pia@example.com", Pages: []string{"100000000000991", "100000000000992", "100000000000993"},
	})
	fb.AddUser(authpipetest.User{ID: "uma", Name: "Uma User", Email: "uma@example.com"})
	return fb
}

// For Facebook Login for Business.
const (
	businessID = "200000000000555"
	configID   = "300000000000001"
)

// agencyID is the business whose portfolio holds some of Pia's pages.
const agencyID = "200000000000556"

func firstOr(all []string, otherwise string) string {
	if len(all) == 0 {
		return otherwise
	}
	return all[0]
}

// usage is the output of the command. Programs read its first line only.
const usage = `facebook simulator: %[1]s

Use this base URL for the dialog and for the Graph API; a browser finds an index there.

  client_id      %[2]s
  client_secret  %[3]s
  client token   %[5]s
  config_id      ` + configID + `
  redirect_uri   %[4]s

  %[1]s/v27.0/dialog/oauth?client_id=%[2]s&redirect_uri=…&state=…&scope=email,pages_show_list

Break things at %[1]s/_control

People: ada (Ada Admin, two Pages, a business), pia (Pia Portfolio, a Page, and two through
a business portfolio), uma (Uma User). Scripts add to the dialog's URL any of
_user=ada, _decline=email, _pages=100000000000777, _cancel=1, _error_code=1&_error_message=text,
or send the header X-Simulator-User: ada; the dialog then redirects at once.
`
