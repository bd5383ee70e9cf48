import PipelineFile
import Replication

/// The pipeline file's `where`, as the decoder judges it.
struct PipelineRowFilter: RowFilter {
    private let predicate: Predicate
    let columns: [String]

    init(_ predicate: Predicate) {
        self.predicate = predicate
        columns = predicate.columns.map(\.name)
    }

    func judge(_ value: (Int) -> FilterValue) -> FilterVerdict {
        let truth = predicate.evaluate { index in
            switch value(index) {
            case .null: .null
            case .unknown: .unknown
            case .bool(let flag): .bool(flag)
            case .number(let digits): .numberBytes(digits)
            case .text(let text): .textBytes(text)
            case .time(let text): .timeBytes(text)
            }
        }
        switch truth {
        case .true: return .pass
        case .false, .null: return .reject
        case .undecidable: return .undecided
        }
    }
}
