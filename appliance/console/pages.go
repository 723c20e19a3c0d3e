package console

import "slices"

// pages are all there are. Each room of the menu has a function of its own.
func pages() []Page {
	return slices.Concat(
		homePages(), profilePages(), usersPages(), projectsPages(), acceleratorPages(), clusterPages(), imagePages(), settingsPages(), backupPages(),
		servicesPages(),
		foldersPages(),
		usagePages(),
		sessionsPages(),
		tokensPages(),
		auditPages(),
		pipelinesPages(),
		catalogPages(), catalogsPages(), installsPages(), playgroundPages(), modelsPages(),
	)
}

// actions are all changes that pages ask for.
func actions() []Action {
	return slices.Concat(
		homeActions(), profileActions(), usersActions(), projectsActions(), limitsActions(), acceleratorActions(), clusterActions(), imageActions(), settingsActions(), backupActions(),
		servicesActions(),
		foldersActions(),
		sessionsActions(),
		tokensActions(),
		auditActions(),
		pipelinesActions(),
		catalogActions(), catalogsActions(), installsActions(), playgroundActions(), modelsActions(),
	)
}

// raws are all else.
func raws() []Raw {
	return slices.Concat(
		proofRaws(),
		foldersRaws(),
		usageRaws(),
		sessionsRaws(),
		catalogRaws(),
		auditRaws(),
		settingsRaws(),
		backupRaws(),
	)
}
