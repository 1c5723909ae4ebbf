using System.Runtime.InteropServices;

namespace Tanjiren.Cli;

/// <summary>
/// SIGINT and SIGTERM as two tokens: the first asks (cancel the job, drain the agent), the second insists (leave, abort). From the third on the
/// signal takes its ordinary course, so nobody is locked in by a hanging stop.
/// </summary>
internal sealed class Interrupts : IDisposable
{
    private readonly CancellationTokenSource first = new();
    private readonly CancellationTokenSource second = new();
    private readonly List<PosixSignalRegistration> registrations = [];
    private int count;

    public CancellationToken First => first.Token;
    public CancellationToken Second => second.Token;

    public static Interrupts FromSignals()
    {
        var interrupts = new Interrupts();
        foreach (var signal in (PosixSignal[])[PosixSignal.SIGINT, PosixSignal.SIGTERM])
            interrupts.registrations.Add(PosixSignalRegistration.Create(signal, context => context.Cancel = interrupts.Raise()));
        return interrupts;
    }

    /// <summary>Counts one signal; false when it is the third and nobody here takes it.</summary>
    public bool Raise()
    {
        switch (Interlocked.Increment(ref count))
        {
            case 1: first.Cancel(); return true;
            case 2: second.Cancel(); return true;
            default: return false;
        }
    }

    public void Dispose()
    {
        foreach (var registration in registrations) registration.Dispose();
        first.Dispose();
        second.Dispose();
    }
}
