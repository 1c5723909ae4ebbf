using Tanjiren.EndToEnd.Tests.Faults;

[assembly: AssemblyFixture(typeof(FaultReport))]

namespace Tanjiren.EndToEnd.Tests.Faults;

/// <summary>Prints what the faults of the whole run provoked, once all of them are done. Each kind has been judged by <see cref="FaultRounds"/> by then.</summary>
public sealed class FaultReport : IDisposable
{
    public void Dispose()
    {
        // The console itself: a passing test's own output is not shown.
        if (!FaultTally.IsEmpty)
            Console.Error.WriteLine($"What the faults provoked:{Environment.NewLine}{FaultTally.Table()}");
    }
}
