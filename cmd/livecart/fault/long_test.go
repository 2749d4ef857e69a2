package fault

import "time"

// longDefault is how long -long goes on unless told.
const longDefault = 10 * time.Minute
