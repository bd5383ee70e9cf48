import Foundation
import ThrowawayPostgres

// Starts a server for scripts, prints its URL, and keeps it until killed.
let server = try await ThrowawayPostgres.start()
FileHandle.standardOutput.write(Data((server.url() + "\n").utf8))
while true { try await Task.sleep(for: .seconds(3600)) }
