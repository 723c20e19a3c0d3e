// Package keeper owns the pipelines that are kept and the jobs that run: it has done for each job what pipeline.Decide says,
// by sessions, services and folders, and makes jobs when schedules are due. Its loop is the only writer of a job. It knows
// nothing of runtimes, of devices, and of the API.
package keeper
