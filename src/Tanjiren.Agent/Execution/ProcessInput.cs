using System.Threading.Channels;

namespace Tanjiren.Agent.Execution;

/// <summary>
/// The standard input of a step's root process. Written by a thread of its own: a program that does not read must hold up nobody, least of all the thread that reads its
/// output, or each would wait for the other. Safe to use from several threads; what one of them writes stays together.
/// </summary>
internal sealed class ProcessInput
{
    /// <summary>What may wait to be read. More means that the program does not read: its input is broken then.</summary>
    public const int MaxPendingBytes = 4 * 1024 * 1024;

    private readonly Stream pipe;
    private readonly Channel<byte[]> queue = Channel.CreateUnbounded<byte[]>(new UnboundedChannelOptions { SingleReader = true });
    private long pending;
    private volatile bool broken;

    /// <param name="pipe">Owned from now on.</param>
    public ProcessInput(Stream pipe)
    {
        this.pipe = pipe;
        // Left to itself when a process that can't be killed keeps the other end open: it then waits in a write, with nothing but its stack.
        new Thread(Pump, maxStackSize: 128 * 1024) { IsBackground = true, Name = "step input" }.Start();
    }

    /// <summary>Queues it. False: closed, or nobody reads any more.</summary>
    public bool Write(byte[] data)
    {
        if (broken) return false;
        if (Interlocked.Add(ref pending, data.Length) > MaxPendingBytes)
        {
            broken = true;
            Close();
            return false;
        }
        return queue.Writer.TryWrite(data);
    }

    /// <summary>The program reads an end of file after what was written. May be called again.</summary>
    public void Close() => queue.Writer.TryComplete();

    private void Pump()
    {
        try
        {
            while (queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
            {
                while (queue.Reader.TryRead(out var data))
                {
                    if (broken) return;
                    pipe.Write(data);
                    pipe.Flush();
                    Interlocked.Add(ref pending, -data.Length);
                }
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // It has closed its input, or has ended: its output and its end say the rest.
            broken = true;
        }
        finally
        {
            pipe.Dispose();
        }
    }
}
